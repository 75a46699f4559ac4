#include "bindings/shape_casters.h"

#include <initializer_list>

#include "check.h"

namespace convsmith::bindings {
namespace {

namespace py = pybind11;

// Every size, pad and extent stays below 2^31, so that no product of two of them overflows 64 bits.
constexpr int64_t kLimit = (int64_t{1} << 31) - 1;
constexpr int64_t kMaxElements = (int64_t{1} << 61) - 1;  // of 4 bytes each

struct Reader {
  py::handle source;
  const char* name;

  int64_t operator()(const char* attribute, int64_t least) const {
    int overflow = 0;
    const py::object item = source.attr(attribute);
    const int64_t value = PyLong_AsLongLongAndOverflow(item.ptr(), &overflow);
    if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
    CONVSMITH_CHECK(overflow == 0 && value >= least && value <= kLimit,
                    name << ": " << attribute << ": got " << py::str(item).cast<std::string>()
                         << ", wanted " << least << " to " << kLimit);
    return value;
  }
};

void check_elements(const char* name, const char* tensor, std::initializer_list<int64_t> dims) {
  int64_t elements = 1;
  bool fits = true;
  // An empty batch does not excuse the rest: kernels multiply the other sizes on their own.
  for (int64_t dim : dims)
    fits = fits && !__builtin_mul_overflow(elements, dim > 0 ? dim : 1, &elements);
  CONVSMITH_CHECK(fits && elements <= kMaxElements,
                  name << ": " << tensor << ": more than 2^61 elements");
}

// Whether `out` windows of this extent, `stride` apart, fit a padded input as the op allows.
// ceil_mode pools may hang over the end by less than a stride, so out is checked as a range.
void check_extent(const char* name, const char* axis, int64_t in, int64_t pad_before,
                  int64_t pad_after, int64_t kernel, int64_t stride, int64_t dilation, int64_t out,
                  bool may_overhang) {
  const int64_t extent = dilation * (kernel - 1) + 1;
  const int64_t room = in + pad_before + pad_after - extent;
  const int64_t floor_out = room < 0 ? 0 : room / stride + 1;
  const int64_t ceil_out = (room + stride - 1 < 0 ? 0 : (room + stride - 1) / stride) + 1;
  const bool right =
      out == floor_out || (may_overhang && out == ceil_out && (out - 1) * stride < in + pad_before);
  CONVSMITH_CHECK(out >= 1 && right, name << ": out_" << axis << ": got " << out << ", wanted "
                                          << floor_out << " from in " << in << ", padding ("
                                          << pad_before << ", " << pad_after << "), kernel "
                                          << kernel << ", stride " << stride << ", dilation "
                                          << dilation);
}

}  // namespace

void read_shape(py::handle source, Conv2dShape& s) {
  const Reader read{source, "Conv2dShape"};
  s.batch = read("batch", 0);
  s.in_h = read("in_h", 1);
  s.in_w = read("in_w", 1);
  s.in_c = read("in_c", 1);
  s.out_h = read("out_h", 1);
  s.out_w = read("out_w", 1);
  s.out_c = read("out_c", 1);
  s.kernel_h = read("kernel_h", 1);
  s.kernel_w = read("kernel_w", 1);
  s.stride_h = read("stride_h", 1);
  s.stride_w = read("stride_w", 1);
  s.dilation_h = read("dilation_h", 1);
  s.dilation_w = read("dilation_w", 1);
  s.pad_top = read("pad_top", 0);
  s.pad_bottom = read("pad_bottom", 0);
  s.pad_left = read("pad_left", 0);
  s.pad_right = read("pad_right", 0);
  s.groups = read("groups", 1);
  CONVSMITH_CHECK(s.in_c % s.groups == 0 && s.out_c % s.groups == 0,
                  "Conv2dShape: groups: got " << s.groups << ", wanted a divisor of in_c " << s.in_c
                                              << " and out_c " << s.out_c);
  check_extent("Conv2dShape", "h", s.in_h, s.pad_top, s.pad_bottom, s.kernel_h, s.stride_h,
               s.dilation_h, s.out_h, false);
  check_extent("Conv2dShape", "w", s.in_w, s.pad_left, s.pad_right, s.kernel_w, s.stride_w,
               s.dilation_w, s.out_w, false);
  check_elements("Conv2dShape", "x", {s.batch, s.in_h, s.in_w, s.in_c});
  check_elements("Conv2dShape", "y", {s.batch, s.out_h, s.out_w, s.out_c});
  check_elements("Conv2dShape", "weight", {s.out_c, s.kernel_h, s.kernel_w, s.in_c / s.groups});
}

void read_shape(py::handle source, Pool2dShape& s) {
  const Reader read{source, "Pool2dShape"};
  s.batch = read("batch", 0);
  s.in_h = read("in_h", 1);
  s.in_w = read("in_w", 1);
  s.channels = read("channels", 1);
  s.out_h = read("out_h", 1);
  s.out_w = read("out_w", 1);
  s.kernel_h = read("kernel_h", 1);
  s.kernel_w = read("kernel_w", 1);
  s.stride_h = read("stride_h", 1);
  s.stride_w = read("stride_w", 1);
  s.dilation_h = read("dilation_h", 1);
  s.dilation_w = read("dilation_w", 1);
  s.pad_top = read("pad_top", 0);
  s.pad_bottom = read("pad_bottom", 0);
  s.pad_left = read("pad_left", 0);
  s.pad_right = read("pad_right", 0);
  check_extent("Pool2dShape", "h", s.in_h, s.pad_top, s.pad_bottom, s.kernel_h, s.stride_h,
               s.dilation_h, s.out_h, true);
  check_extent("Pool2dShape", "w", s.in_w, s.pad_left, s.pad_right, s.kernel_w, s.stride_w,
               s.dilation_w, s.out_w, true);
  CONVSMITH_CHECK(s.kernel_h * s.kernel_w <= kLimit, "Pool2dShape: kernel: got "
                                                         << s.kernel_h << " x " << s.kernel_w
                                                         << ", wanted at most 2^31 - 1 elements");
  check_elements("Pool2dShape", "x", {s.batch, s.in_h, s.in_w, s.channels});
  check_elements("Pool2dShape", "y", {s.batch, s.out_h, s.out_w, s.channels});
}

void read_shape(py::handle source, Resample2dShape& s) {
  const Reader read{source, "Resample2dShape"};
  s.batch = read("batch", 0);
  s.in_h = read("in_h", 1);
  s.in_w = read("in_w", 1);
  s.channels = read("channels", 1);
  s.out_h = read("out_h", 1);
  s.out_w = read("out_w", 1);
  check_elements("Resample2dShape", "x", {s.batch, s.in_h, s.in_w, s.channels});
  check_elements("Resample2dShape", "y", {s.batch, s.out_h, s.out_w, s.channels});
}

void read_shape(py::handle source, GemmShape& s) {
  const Reader read{source, "GemmShape"};
  s.gemm_m = read("gemm_m", 0);
  s.gemm_n = read("gemm_n", 0);
  s.gemm_k = read("gemm_k", 0);
  s.transpose_a = source.attr("transpose_a").cast<bool>();
  s.transpose_b = source.attr("transpose_b").cast<bool>();
  check_elements("GemmShape", "a", {s.gemm_m, s.gemm_k});
  check_elements("GemmShape", "b", {s.gemm_k, s.gemm_n});
  check_elements("GemmShape", "c", {s.gemm_m, s.gemm_n});
}

Activation parse_activation(const std::string& name, const char* op) {
  if (name == "identity") return Activation::identity;
  if (name == "relu") return Activation::relu;
  if (name == "leaky_relu") return Activation::leaky_relu;
  if (name == "sigmoid") return Activation::sigmoid;
  if (name == "tanh") return Activation::tanh;
  if (name == "silu") return Activation::silu;
  if (name == "hardswish") return Activation::hardswish;
  CONVSMITH_CHECK(false, op << ": activation: got '" << name
                            << "', wanted identity, relu, leaky_relu, sigmoid, tanh, silu or "
                               "hardswish");
  return Activation::identity;
}

}  // namespace convsmith::bindings
