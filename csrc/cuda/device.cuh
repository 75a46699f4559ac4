// The machine as kernels see it: the only file with intrinsics, inline assembly, __shared__ and
// launches. Compiled by nvcc it is the GPU; compiled with CONVSMITH_SIMT the same names come from
// csrc/simt, which runs every thread on the CPU and checks what it does.
#pragma once

#include "cuda/types.h"

#ifdef CONVSMITH_SIMT
#include "simt/executor.h"
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstring>

#define CONVSMITH_DEVICE __device__ __forceinline__
#define CONVSMITH_HOST_DEVICE __host__ __device__ __forceinline__

// An array in shared memory, one per block, 16-byte aligned and not initialised.
#define CONVSMITH_SHARED(T, name, count) __shared__ __align__(16) T name[count]
// The block's dynamic shared memory, whose size the launch gives; 128-byte aligned.
#define CONVSMITH_DYNAMIC_SHARED(T, name)                                    \
  extern __shared__ __align__(128) unsigned char convsmith_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(convsmith_dynamic_shared)

namespace convsmith::cuda {

constexpr unsigned kFullWarp = 0xffffffffu;

// ---- threads: blocks are one-dimensional ----

CONVSMITH_DEVICE int lane_id() { return static_cast<int>(threadIdx.x & 31u); }
CONVSMITH_DEVICE int warp_id() { return static_cast<int>(threadIdx.x >> 5); }

CONVSMITH_DEVICE void sync_block() { __syncthreads(); }
CONVSMITH_DEVICE void sync_warp(unsigned mask = kFullWarp) { __syncwarp(mask); }
CONVSMITH_DEVICE void thread_fence() { __threadfence(); }

// ---- warp operations: all 32 lanes take part ----

template <class T>
CONVSMITH_DEVICE T shuffle_xor(T value, int lane_mask) {
  return __shfl_xor_sync(kFullWarp, value, lane_mask);
}
// The lanes that would read past lane 31 get their own value.
template <class T>
CONVSMITH_DEVICE T shuffle_down(T value, int delta) {
  return __shfl_down_sync(kFullWarp, value, static_cast<unsigned>(delta));
}
template <class T>
CONVSMITH_DEVICE T shuffle(T value, int source_lane) {
  return __shfl_sync(kFullWarp, value, source_lane);
}
CONVSMITH_DEVICE unsigned ballot(bool predicate) { return __ballot_sync(kFullWarp, predicate); }
CONVSMITH_DEVICE bool any(bool predicate) { return __any_sync(kFullWarp, predicate) != 0; }
CONVSMITH_DEVICE bool all(bool predicate) { return __all_sync(kFullWarp, predicate) != 0; }

CONVSMITH_DEVICE int atomic_add_int(int* address, int value) { return atomicAdd(address, value); }

// ---- numbers ----

CONVSMITH_HOST_DEVICE float to_float(float value) { return value; }
CONVSMITH_HOST_DEVICE float to_float(float16 value) {
  return __half2float(__half(__half_raw{value.bits}));
}
CONVSMITH_HOST_DEVICE float to_float(bfloat16 value) {
  return __bfloat162float(__nv_bfloat16(__nv_bfloat16_raw{value.bits}));
}

// Round to nearest, ties to even.
template <class T>
CONVSMITH_HOST_DEVICE T from_float(float value);
template <>
CONVSMITH_HOST_DEVICE float from_float<float>(float value) {
  return value;
}
template <>
CONVSMITH_HOST_DEVICE float16 from_float<float16>(float value) {
  return float16{__half_raw(__float2half_rn(value)).x};
}
template <>
CONVSMITH_HOST_DEVICE bfloat16 from_float<bfloat16>(float value) {
  return bfloat16{__nv_bfloat16_raw(__float2bfloat16_rn(value)).x};
}

// The bits of a float rounded to TF32 (10 bits of mantissa, ties away from zero).
CONVSMITH_DEVICE uint32_t to_tf32(float value) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
}
CONVSMITH_DEVICE uint32_t float_bits(float value) { return __float_as_uint(value); }
CONVSMITH_DEVICE float bits_float(uint32_t bits) { return __uint_as_float(bits); }

// ---- vector accesses: the address must be a multiple of the size ----

namespace detail {
template <int Bytes>
struct Raw;
template <>
struct Raw<1> {
  using Type = unsigned char;
};
template <>
struct Raw<2> {
  using Type = unsigned short;
};
template <>
struct Raw<4> {
  using Type = unsigned int;
};
template <>
struct Raw<8> {
  using Type = uint2;
};
template <>
struct Raw<16> {
  using Type = uint4;
};
}  // namespace detail

template <int N, class T>
CONVSMITH_DEVICE Pack<T, N> load_pack(const T* address) {
  using Raw = typename detail::Raw<sizeof(T) * N>::Type;
  const Raw raw = *reinterpret_cast<const Raw*>(address);
  Pack<T, N> pack;
  memcpy(&pack, &raw, sizeof(raw));
  return pack;
}

template <class T, int N>
CONVSMITH_DEVICE void store_pack(T* address, const Pack<T, N>& pack) {
  using Raw = typename detail::Raw<sizeof(T) * N>::Type;
  Raw raw;
  memcpy(&raw, &pack, sizeof(raw));
  *reinterpret_cast<Raw*>(address) = raw;
}

// One element through the read-only path; nothing may write it during the kernel.
template <class T>
CONVSMITH_DEVICE T load_readonly(const T* address) {
  using Raw = typename detail::Raw<sizeof(T)>::Type;
  const Raw raw = __ldg(reinterpret_cast<const Raw*>(address));
  T value;
  memcpy(&value, &raw, sizeof(raw));
  return value;
}

// ---- asynchronous copies, global to shared; both addresses multiples of the size ----

namespace detail {
CONVSMITH_DEVICE uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
}  // namespace detail

// Not valid: the destination becomes zero and the source is not read.
CONVSMITH_DEVICE void copy_async_16(void* shared, const void* global, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(detail::shared_address(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(bytes)
      : "memory");
}
CONVSMITH_DEVICE void copy_async_8(void* shared, const void* global, bool valid) {
  const int bytes = valid ? 8 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(detail::shared_address(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(bytes)
               : "memory");
}
CONVSMITH_DEVICE void copy_async_4(void* shared, const void* global, bool valid) {
  const int bytes = valid ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(detail::shared_address(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(bytes)
               : "memory");
}
// Closes the group of this thread's copies since the last commit.
CONVSMITH_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N of this thread's groups are under way; other threads need sync_block too.
template <int N>
CONVSMITH_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- tensor cores: all 32 lanes take part; layouts as in the PTX ISA ----

// Loads 8x8 matrices of 16-bit elements. Lane i gives the 16-byte row i % 8 of matrix i / 8; lane i
// receives elements 2 * (i % 4) and + 1 of row i / 4 (transposed: those rows of column i / 4).
CONVSMITH_DEVICE void load_matrix_x4(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}
CONVSMITH_DEVICE void load_matrix_x4_transposed(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}
// Two matrices: the rows of lanes 0 to 15 count.
CONVSMITH_DEVICE void load_matrix_x2(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}
CONVSMITH_DEVICE void load_matrix_x2_transposed(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}

// c += a b, 16x16 times 16x8. With g = lane / 4, t = lane % 4, low half first:
// a: rows g, g + 8, g, g + 8; columns 2t, 2t, 2t + 8, 2t + 8 (and + 1). b: rows 2t, 2t + 8 (and
// + 1) of column g. c: row g columns 2t, 2t + 1, then row g + 8.
CONVSMITH_DEVICE void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                  bfloat16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
CONVSMITH_DEVICE void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                  float16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// c += a b, 16x8 times 8x8; elements are floats of which TF32 sees the upper 19 bits (to_tf32).
// a: rows g, g + 8, g, g + 8; columns t, t, t + 4, t + 4. b: rows t, t + 4 of column g.
CONVSMITH_DEVICE void mma_16x8x8_tf32(float (&c)[4], const uint32_t (&a)[4],
                                      const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// ---- host ----

// The answer of a call is what that call returned, never the runtime's "last error", which may be
// another's. A failure is taken out of there too, so that nobody finds it and is blamed for it.
inline void check_status(const char* op, cudaError_t status) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  std::string text =
      std::string(op) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status);
  switch (status) {
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
      text += "; `convsmith env` says what this machine has";
      break;
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      text += "; convsmith._cuda.architectures() are the GPUs that it was built for";
      break;
    case cudaErrorMemoryAllocation:
      text += "; free memory of the GPU, such as the cached blocks of CuPy's pool";
      break;
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
      text +=
          "; a kernel of an earlier call, of whatever library, failed while it ran, and CUDA "
          "answers nothing more in this process: start a new one (with CUDA_LAUNCH_BLOCKING=1 the "
          "call that fails is the culprit)";
      break;
    default:
      break;
  }
  throw DeviceError(text);
}

constexpr int64_t kMaxGridX = (int64_t{1} << 31) - 1;
constexpr int64_t kMaxGridYZ = 65535;
constexpr int kMaxThreads = 1024;
// What launchers ask for at most: beyond it grid-stride loops go on, or another launch follows.
constexpr int64_t kMostBlocks = int64_t{1} << 22;
constexpr size_t kPlainSharedBytes = 48 * 1024;  // above this a kernel has to opt in

// Whose memory an address is.
struct Whereabouts {
  bool on_gpu;  // false: the host's, or nobody's any more
  int device;   // the GPU that holds it
  int current;  // the GPU that this thread launches on

  static Whereabouts of(const char* op, const void* address) {
    Whereabouts found{};
    check_status(op, cudaGetDevice(&found.current));
    cudaPointerAttributes attributes{};
    check_status(op, cudaPointerGetAttributes(&attributes, address));
    const bool managed = attributes.type == cudaMemoryTypeManaged;  // every GPU reaches it
    found.on_gpu = managed || attributes.type == cudaMemoryTypeDevice;
    found.device = managed ? found.current : attributes.device;
    return found;
  }
};

// Runs kernel(args...) on grid.x * grid.y * grid.z blocks; an empty grid runs nothing.
template <class... Params, class... Args>
void launch(const char* op, void (*kernel)(Params...), Grid grid, int threads,
            size_t dynamic_shared_bytes, Stream stream, Args&&... args) {
  static_assert(sizeof...(Params) == sizeof...(Args), "one argument for each kernel parameter");
  if (grid.x < 0 || grid.y < 0 || grid.z < 0 || grid.x > kMaxGridX || grid.y > kMaxGridYZ ||
      grid.z > kMaxGridYZ || threads < 1 || threads > kMaxThreads) {
    throw DeviceError(std::string(op) + ": launch: got grid (" + std::to_string(grid.x) + ", " +
                      std::to_string(grid.y) + ", " + std::to_string(grid.z) + ") of " +
                      std::to_string(threads) +
                      " threads, wanted at most (2^31 - 1, 65535, 65535) of 1024");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (dynamic_shared_bytes > kPlainSharedBytes) {
    check_status(op, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(dynamic_shared_bytes)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                        static_cast<unsigned>(grid.z));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = dynamic_shared_bytes;
  config.stream = stream;
  check_status(op, cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
}

// Device memory for one call, in stream order; contents are undefined, 256-byte aligned.
class Workspace {
 public:
  Workspace(size_t bytes, Stream stream, const char* op) : stream_(stream) {
    if (bytes > 0) check_status(op, cudaMallocAsync(&data_, bytes, stream));
  }
  ~Workspace() {
    if (data_ != nullptr && cudaFreeAsync(data_, stream_) != cudaSuccess) cudaGetLastError();
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  Stream stream_;
};

inline void fill_zero(const char* op, void* data, size_t bytes, Stream stream) {
  if (bytes > 0) check_status(op, cudaMemsetAsync(data, 0, bytes, stream));
}
inline void copy_bytes(const char* op, void* to, const void* from, size_t bytes, Stream stream) {
  if (bytes > 0) {
    check_status(op, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
  }
}

}  // namespace convsmith::cuda
#endif  // CONVSMITH_SIMT

namespace convsmith::cuda {

// The larger and the smaller of two numbers; NaN when either is, unlike fmaxf and fminf.
template <class T>
CONVSMITH_HOST_DEVICE T maximum(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
CONVSMITH_HOST_DEVICE T minimum(T a, T b) {
  return a < b || a != a ? a : b;
}

// Two 16-bit elements as one register, the first in the low half, as mma fragments want them.
template <class T>
CONVSMITH_DEVICE uint32_t pack_pair(T low, T high) {
  static_assert(sizeof(T) == 2, "a register holds two 16-bit elements");
  return static_cast<uint32_t>(low.bits) | static_cast<uint32_t>(high.bits) << 16;
}

}  // namespace convsmith::cuda
