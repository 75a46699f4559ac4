"""The pieces of benchmarks/gpu_report.py: what to run on a GPU, and how to survive and say it."""
