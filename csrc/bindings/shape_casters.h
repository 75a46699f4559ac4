// Python's shape dataclasses (convsmith.ops.shapes) become the plain structs of shapes.h, checked:
// every kernel may rely on positive sizes and on output sizes that follow from the rest.
#pragma once

#include <pybind11/pybind11.h>

#include <cstring>
#include <string>

#include "shapes.h"

namespace convsmith::bindings {

// Each fills the struct from the attributes of that name and throws std::invalid_argument, with
// the values, for a geometry that no kernel may see.
void read_shape(pybind11::handle source, Conv2dShape& shape);
void read_shape(pybind11::handle source, Pool2dShape& shape);
void read_shape(pybind11::handle source, Resample2dShape& shape);
void read_shape(pybind11::handle source, GemmShape& shape);

Activation parse_activation(const std::string& name, const char* op);

inline bool is_instance_of(pybind11::handle source, const char* class_name) {
  const char* full = Py_TYPE(source.ptr())->tp_name;
  const char* dot = std::strrchr(full, '.');
  return std::strcmp(dot == nullptr ? full : dot + 1, class_name) == 0;
}

}  // namespace convsmith::bindings

namespace pybind11::detail {

#define CONVSMITH_SHAPE_CASTER(Shape)                                                    \
  template <>                                                                            \
  struct type_caster<convsmith::Shape> {                                                 \
    PYBIND11_TYPE_CASTER(convsmith::Shape, const_name("convsmith.ops.shapes." #Shape));  \
    bool load(handle source, bool) {                                                     \
      if (!source || !convsmith::bindings::is_instance_of(source, #Shape)) return false; \
      convsmith::bindings::read_shape(source, value);                                    \
      return true;                                                                       \
    }                                                                                    \
  }
CONVSMITH_SHAPE_CASTER(Conv2dShape);
CONVSMITH_SHAPE_CASTER(Pool2dShape);
CONVSMITH_SHAPE_CASTER(Resample2dShape);
CONVSMITH_SHAPE_CASTER(GemmShape);
#undef CONVSMITH_SHAPE_CASTER

}  // namespace pybind11::detail
