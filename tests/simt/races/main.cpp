// Every kernel once or more on small shapes, for the race checker and the address sanitizer: what
// they compute is tested elsewhere. Shapes are the smallest that reach several blocks, tiles,
// splits and tails.
//   races            everything
//   races FAMILY     one of conv2d gemm pool norm softmax elementwise upsample
#include <cstdio>
#include <cstring>
#include <type_traits>

#include "cuda/device.cuh"
#include "cuda/kernels.cuh"

namespace convsmith::cuda {
namespace {

// Global memory with small integers in it; outputs start as NaN.
template <class T>
class Array {
 public:
  explicit Array(int64_t size, const char* name = "output")
      : size_(size), block_(static_cast<size_t>(size) * sizeof(T), name) {}

  T* data() const { return static_cast<T*>(block_.data()); }
  Array& filled() {
    for (int64_t i = 0; i < size_; ++i) {
      const float value = static_cast<float>(i * 7919 % 13 - 6) / 4;
      if constexpr (std::is_integral_v<T>) {
        data()[i] = static_cast<T>(i % 5);
      } else {
        data()[i] = from_float<T>(value);
      }
    }
    return *this;
  }

 private:
  int64_t size_;
  simt::GuardedBlock block_;
};

Conv2dShape convolution(int64_t batch, int64_t size, int64_t in_c, int64_t out_c, int64_t kernel,
                        int64_t stride, int64_t pad, int64_t groups) {
  Conv2dShape s = {};
  s.batch = batch;
  s.in_h = size;
  s.in_w = size + 1;
  s.in_c = in_c;
  s.out_c = out_c;
  s.kernel_h = s.kernel_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.dilation_h = s.dilation_w = 1;
  s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = pad;
  s.groups = groups;
  s.out_h = (s.in_h + 2 * pad - kernel) / stride + 1;
  s.out_w = (s.in_w + 2 * pad - kernel) / stride + 1;
  return s;
}

template <class T>
void run_convolution(const Conv2dShape& s, Algorithm algorithm) {
  const int64_t x_size = s.batch * s.in_h * s.in_w * s.in_c;
  const int64_t y_size = s.batch * s.out_h * s.out_w * s.out_c;
  const int64_t weight_size = s.out_c * s.kernel_h * s.kernel_w * s.in_c / s.groups;
  Array<T> x(x_size), y(y_size), weight(weight_size), bias(s.out_c), residual(y_size), dy(y_size);
  Array<T> dx(x_size), dweight(weight_size), dbias(s.out_c);
  for (Array<T>* input : {&x, &weight, &bias, &residual, &dy}) input->filled();
  conv2d_forward<T>(s, x.data(), weight.data(),
                    {bias.data(), residual.data(), Activation::relu, 0.0f}, y.data(), algorithm,
                    nullptr);
  conv2d_backward_input<T>(s, dy.data(), weight.data(), dx.data(), algorithm, nullptr);
  conv2d_backward_weight<T>(s, x.data(), dy.data(), dweight.data(), algorithm, nullptr);
  conv2d_backward_bias<T>(s.batch * s.out_h * s.out_w, s.out_c, dy.data(), dbias.data(), nullptr);
}

// The rows of tile_table.h, with and without splits of the depth.
template <class Run>
void by_every_tile(Run run) {
  for (int row = -1; row < 4; ++row) {
    force_tile(row, row % 2 == 0 ? 2 : 0);
    run();
  }
  force_tile(-1, 0);
}

void convolutions() {
  by_every_tile([] {
    const Conv2dShape plain = convolution(2, 6, 16, 24, 3, 1, 1, 1);
    run_convolution<float>(plain, Algorithm::direct);
    run_convolution<float>(plain, Algorithm::tf32);
    run_convolution<bfloat16>(plain, Algorithm::tensor_core);
  });
  run_convolution<float16>(convolution(1, 7, 32, 40, 3, 2, 1, 2), Algorithm::automatic);
  run_convolution<float>(convolution(2, 9, 3, 20, 3, 2, 1, 1), Algorithm::automatic);
  run_convolution<bfloat16>(convolution(2, 9, 3, 20, 7, 2, 3, 1), Algorithm::automatic);
  run_convolution<float>(convolution(2, 7, 36, 36, 3, 1, 1, 36), Algorithm::automatic);
  run_convolution<float16>(convolution(1, 8, 16, 32, 3, 2, 1, 16), Algorithm::automatic);
  run_convolution<float>(convolution(1, 5, 7, 9, 1, 1, 0, 1), Algorithm::automatic);
}

template <class T>
void run_gemm(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b) {
  Array<T> a(m * k), b(k * n), c(m * n), bias(n);
  for (Array<T>* input : {&a, &b, &c, &bias}) input->filled();
  gemm<T>(GemmShape{m, n, k, transpose_a, transpose_b}, 0.5f, a.data(), b.data(), 1.0f,
          {bias.data(), nullptr, Activation::identity, 0.0f}, c.data(), nullptr);
}

void gemms() {
  by_every_tile([] {
    for (int transposes = 0; transposes < 4; ++transposes) {
      const bool a = (transposes & 1) != 0;
      const bool b = (transposes & 2) != 0;
      run_gemm<float>(33, 40, 37, a, b);
      run_gemm<bfloat16>(40, 48, 72, a, b);
    }
  });
}

template <class T>
void run_pools() {
  const Pool2dShape s = {2, 9, 10, 20, 5, 5, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1};
  const Resample2dShape small = {2, 9, 10, 20, 4, 3};
  const int64_t x_size = s.batch * s.in_h * s.in_w * s.channels;
  const int64_t y_size = s.batch * s.out_h * s.out_w * s.channels;
  Array<T> x(x_size), y(y_size), dx(x_size);
  Array<uint8_t> argmax(y_size);
  x.filled();
  max_pool2d_forward<T, uint8_t>(s, x.data(), y.data(), argmax.data(), nullptr);
  max_pool2d_backward_input<T, uint8_t>(s, y.data(), argmax.data(), dx.data(), nullptr);
  avg_pool2d_forward<T>(s, false, x.data(), y.data(), nullptr);
  avg_pool2d_backward_input<T>(s, true, y.data(), dx.data(), nullptr);
  adaptive_avg_pool2d_forward<T>(small, x.data(), y.data(), nullptr);
  adaptive_avg_pool2d_backward_input<T>(small, y.data(), dx.data(), nullptr);
  const Resample2dShape global = {2, 9, 10, 20, 1, 1};
  adaptive_avg_pool2d_forward<T>(global, x.data(), y.data(), nullptr);
  adaptive_avg_pool2d_backward_input<T>(global, y.data(), dx.data(), nullptr);
}

template <class T>
void run_upsamples() {
  const Resample2dShape s = {2, 4, 5, 9, 9, 10};
  Array<T> x(2 * 4 * 5 * 9), y(2 * 9 * 10 * 9), dx(2 * 4 * 5 * 9);
  x.filled();
  upsample_nearest2d_forward<T>(s, x.data(), y.data(), nullptr);
  upsample_nearest2d_backward_input<T>(s, y.data(), dx.data(), nullptr);
  for (const bool corners : {false, true}) {
    upsample_bilinear2d_forward<T>(s, corners, x.data(), y.data(), nullptr);
    upsample_bilinear2d_backward_input<T>(s, corners, y.data(), dx.data(), nullptr);
  }
}

template <class T>
void run_norms(int64_t rows, int64_t channels) {
  const int64_t size = rows * channels;
  Array<T> x(size), dy(size), y(size), dx(size);
  Array<float> gamma(channels), beta(channels), mean(channels), var(channels);
  Array<float> dgamma(channels), dbeta(channels);
  x.filled();
  dy.filled();
  gamma.filled();
  beta.filled();
  batch_norm_forward<T>(rows, channels, 1e-5f, x.data(), gamma.data(), beta.data(), y.data(),
                        mean.data(), var.data(), nullptr);
  batch_norm_backward<T>(rows, channels, 1e-5f, dy.data(), x.data(), gamma.data(), mean.data(),
                         var.data(), dx.data(), dgamma.data(), dbeta.data(), nullptr);
  batch_norm_inference_forward<T>(rows, channels, 1e-5f, x.data(), gamma.data(), beta.data(),
                                  mean.data(), var.data(), y.data(), nullptr);
  batch_norm_inference_backward<T>(rows, channels, 1e-5f, dy.data(), x.data(), gamma.data(),
                                   mean.data(), var.data(), dx.data(), dgamma.data(), dbeta.data(),
                                   nullptr);
  const LocalResponseNorm norm = {5, 0.1f, 0.75f, 2.0f};
  local_response_norm_forward<T>(rows, channels, norm, x.data(), y.data(), nullptr);
  local_response_norm_backward<T>(rows, channels, norm, dy.data(), x.data(), dx.data(), nullptr);
}

template <class T>
void run_softmaxes(int64_t rows, int64_t classes) {
  Array<T> x(rows * classes), dy(rows * classes), y(rows * classes), dx(rows * classes);
  Array<int64_t> labels(rows);
  Array<float> losses(rows);
  x.filled();
  dy.filled();
  for (int64_t i = 0; i < rows; ++i) labels.data()[i] = i % classes;
  softmax_forward<T>(rows, classes, x.data(), y.data(), nullptr);
  softmax_backward<T>(rows, classes, dy.data(), y.data(), dx.data(), nullptr);
  log_softmax_forward<T>(rows, classes, x.data(), y.data(), nullptr);
  log_softmax_backward<T>(rows, classes, dy.data(), y.data(), dx.data(), nullptr);
  softmax_cross_entropy<T>(rows, classes, 0.1f, 1.0f, x.data(), labels.data(), losses.data(),
                           dx.data(), nullptr);
}

template <class T>
void run_elementwise(int64_t size) {
  Array<T> a(size), b(size), y(size), param(size);
  Array<float> first(size), second(size);
  a.filled();
  b.filled();
  param.filled();
  for (int64_t i = 0; i < size; ++i) first.data()[i] = second.data()[i] = 1.0f;
  add<T>(size, a.data(), b.data(), y.data(), nullptr);
  activation_forward<T>(Activation::silu, 0.01f, size, a.data(), y.data(), nullptr);
  activation_backward<T>(Activation::silu, 0.01f, size, a.data(), b.data(), y.data(), nullptr);
  sgd_update<T>(size, 0.1f, 0.9f, 0.01f, true, a.data(), param.data(), first.data(), nullptr);
  const AdamStep step = {2, 1e-3, 0.9, 0.999, 1e-8, 0.01, true};
  adam_update<T>(size, step, a.data(), param.data(), first.data(), second.data(), nullptr);
}

struct Family {
  const char* name;
  void (*run)();
};

const Family kFamilies[] = {
    {"conv2d", convolutions},
    {"gemm", gemms},
    {"pool", [] { run_pools<float>(), run_pools<bfloat16>(); }},
    {"norm",
     [] {
       run_norms<float>(70, 33);
       run_norms<float16>(1000, 64);
       run_norms<bfloat16>(5, 8);
     }},
    {"softmax",
     [] {
       run_softmaxes<float>(9, 10);
       run_softmaxes<float16>(3, 300);
       run_softmaxes<float>(2, 5000);
     }},
    {"elementwise", [] { run_elementwise<float>(1003), run_elementwise<float16>(515); }},
    {"upsample", [] { run_upsamples<float>(), run_upsamples<float16>(); }},
};

}  // namespace
}  // namespace convsmith::cuda

int main(int argc, char** argv) {
  bool found = false;
  for (const auto& family : convsmith::cuda::kFamilies) {
    if (argc > 1 && std::strcmp(argv[1], family.name) != 0) continue;
    found = true;
    try {
      family.run();
    } catch (const std::exception& error) {
      std::printf("%s: %s\n", family.name, error.what());
      return 1;
    }
    std::printf("%s: ran\n", family.name);
    std::fflush(stdout);
  }
  if (!found) std::fprintf(stderr, "races: no such family: %s\n", argv[1]);
  return found ? 0 : 2;
}
