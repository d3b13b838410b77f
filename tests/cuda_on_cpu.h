// Enough of CUDA to run a kernel on a CPU: blocks one after the other, the threads of a block as fibers, which switch
// where they wait for each other. `backwards` takes blocks and threads in the opposite order. Shared memory begins as NaN
// in every block and ends in a guard.

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

enum { ENOUGH = 1 << 17, GUARD = 1 << 13, UNSET = 255 };
extern __align__(16) unsigned char shared[];

struct Index {
    unsigned x;
};
static Index threadIdx, blockIdx;
static ucontext_t scheduler, fibers[1024];
static char *stacks[1024];
static bool ended[1024];
static void (*body)(void **);
static void **arguments;

static void __syncthreads() { swapcontext(&fibers[threadIdx.x], &scheduler); }

static void start()
{
    body(arguments);
    ended[threadIdx.x] = true;
    swapcontext(&fibers[threadIdx.x], &scheduler);
}

template <typename... A> struct Call {
    template <void (*kernel)(A...), typename... B> static void with(void **given, B... values)
    {
        if constexpr (sizeof...(B) == sizeof...(A))
            kernel(values...);
        else
            with<kernel>(given, values..., *(__type_pack_element<sizeof...(B), A...> *)given[sizeof...(B)]);
    }
};
template <typename... A> Call<A...> signature(void (*)(A...));

// Whether threads stayed within their shared memory, and met at every barrier.
static bool run(long blocks, long threads, long bytes, int backwards, void **given)
{
    const size_t size = 256 * 1024;
    arguments = given;
    for (long block = 0; block < blocks; block++) {
        blockIdx.x = backwards ? blocks - 1 - block : block;
        memset(shared, UNSET, bytes + GUARD);
        for (long t = 0; t < threads; t++) {
            if (!stacks[t])
                stacks[t] = (char *)malloc(size);
            getcontext(&fibers[t]);
            fibers[t].uc_stack.ss_sp = stacks[t];
            fibers[t].uc_stack.ss_size = size;
            fibers[t].uc_link = &scheduler;
            makecontext(&fibers[t], start, 0);
            ended[t] = false;
        }
        for (long left = threads; left > 0;) {
            for (long i = 0; i < threads; i++) {
                threadIdx.x = backwards ? threads - 1 - i : i;
                swapcontext(&scheduler, &fibers[threadIdx.x]);
                left -= ended[threadIdx.x];
            }
            if (left != 0 && left != threads)
                return false;
        }
        for (long i = bytes; i < bytes + GUARD; i++)
            if (shared[i] != UNSET)
                return false;
    }
    return true;
}
