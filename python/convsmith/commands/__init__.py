"""The subcommands of `convsmith`, a module each: DESCRIPTION, add_arguments(parser), run(args)."""
