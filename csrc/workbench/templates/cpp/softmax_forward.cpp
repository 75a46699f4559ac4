// y[row, i] = exp(x[row, i]) / sum over j of exp(x[row, j]), rows of `classes` elements. The
// maximum of the row is subtracted first, so that nothing overflows.
//
// To go on: an exponential of your own, which a compiler turns into vector instructions; threads.
#include <algorithm>
#include <cmath>
#include <cstdint>

void softmax_forward(int64_t rows, int64_t classes, const float* x, float* y) {
  for (int64_t row = 0; row < rows; ++row, x += classes, y += classes) {
    const float largest = *std::max_element(x, x + classes);
    float sum = 0.0f;
    for (int64_t i = 0; i < classes; ++i) {
      y[i] = std::exp(x[i] - largest);
      sum += y[i];
    }
    for (int64_t i = 0; i < classes; ++i) y[i] /= sum;
  }
}
