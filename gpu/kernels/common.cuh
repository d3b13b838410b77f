// What the kernels share. `gpu/device.py` compiles each of them for the sizes of a call, with the macros
//
//   T         float or double
//   D, C      entries of a row, and the columns that are taken at once
//   G         factors of a monomial, padded with ones (the degree, and at least 1); where pairs are written out, the
//             degree of the polynomial
//   THREADS   of a block
//   SHARED    bytes of shared memory of a block
//
// and those that the kernel itself names. A *unit* is one segment of one head: rows that share their sums. A monomial
// is a product of G entries of (x_1 … x_D, 1), which a table of indices names: index D is the 1.
//
// In shared memory, rows that belong to a thread lie an odd number of entries apart: threads that read the same entry of
// their rows then meet in no bank. Rows that all threads read alike are vectors of 16 bytes.

typedef long long Size;

struct Rows {
    Size first, count;  // of a unit, counted from the first row of all heads
};

template <int WIDTH> struct alignas(16) Vector {
    T at[WIDTH];
};

enum {
    ODD_C = C | 1,
    ODD_D = D | 1,
    PITCH = (D + 1) | 1,
    PITCH_C = sizeof(Vector<C>) / sizeof(T),
    PITCH_D = sizeof(Vector<D>) / sizeof(T),
    UNROLLED = D > 128 ? 1 : D,  // wide rows lie in local memory
};

#define LARGER(a, b) ((a) > (b) ? (a) : (b))

extern __shared__ __align__(16) unsigned char shared[];

// The rows of a unit: `segments` of L rows, the last perhaps shorter, in each head of b rows.
__device__ inline Rows rows_of(Size unit, Size segments, Size b, Size L)
{
    const Size head = unit / segments, first = (unit % segments) * L;
    const Size left = b - first;
    return {head * b + first, left < L ? left : L};
}

// Rows of WIDTH entries, `stride` apart in device memory, to `pitch` apart in shared memory, and zeros up to `all` rows.
template <int WIDTH, bool MAGNITUDES = false>
__device__ inline void fetch(T* to, int pitch, const T* from, Size stride, int count, int all)
{
    for (int i = threadIdx.x; i < all * WIDTH; i += THREADS) {
        const int j = i / WIDTH, c = i % WIDTH;
        const T entry = j < count ? from[j * stride + c] : T(0);
        to[j * pitch + c] = MAGNITUDES && entry < 0 ? -entry : entry;
    }
}

// The same way back.
template <int WIDTH, bool ADD = false>
__device__ inline void store(T* to, Size stride, const T* from, int pitch, int count)
{
    for (int i = threadIdx.x; i < count * WIDTH; i += THREADS) {
        T* entry = to + i / WIDTH * stride + i % WIDTH;
        *entry = (ADD ? *entry : T(0)) + from[i / WIDTH * pitch + i % WIDTH];
    }
}

// Rows with a 1 at their end, PITCH apart.
template <bool MAGNITUDES = false>
__device__ inline void fetch_with_one(T* to, const T* from, int count, int all)
{
    fetch<D, MAGNITUDES>(to, PITCH, from, D, count, all);
    for (int j = threadIdx.x; j < all; j += THREADS)
        to[j * PITCH + D] = 1;
}
