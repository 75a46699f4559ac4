// Host side of device.cuh under nvcc: launches, workspaces, questions to the device. Included by
// device.cuh alone.
#pragma once

namespace convsmith::cuda {

constexpr int64_t kMaxGridX = (int64_t{1} << 31) - 1;
constexpr int64_t kMaxGridYZ = 65535;
constexpr int kMaxThreads = 1024;
constexpr size_t kPlainSharedBytes = 48 * 1024;  // above this a kernel has to opt in

inline int device_attribute(const char* op, cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  check_status(op, cudaGetDevice(&device));
  check_status(op, cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}
inline int multiprocessor_count() {
  return device_attribute("multiprocessor_count", cudaDevAttrMultiProcessorCount);
}
// The dynamic shared memory that a launch may ask for.
inline size_t max_shared_bytes() {
  return static_cast<size_t>(
      device_attribute("max_shared_bytes", cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

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
  const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                    static_cast<unsigned>(grid.z));
  kernel<<<blocks, threads, dynamic_shared_bytes, stream>>>(static_cast<Params>(args)...);
  check_status(op, cudaGetLastError());
}

// Device memory for one call, in stream order; contents are undefined, 256-byte aligned.
class Workspace {
 public:
  Workspace(size_t bytes, Stream stream) : stream_(stream) {
    if (bytes > 0) check_status("workspace", cudaMallocAsync(&data_, bytes, stream));
  }
  ~Workspace() {
    if (data_ != nullptr) cudaFreeAsync(data_, stream_);
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
