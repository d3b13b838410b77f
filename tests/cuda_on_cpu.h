// Enough of CUDA to run a kernel on a CPU: blocks one after the other, the threads of a block as fibers, which switch
// where they wait for each other. `backwards` takes blocks and threads in the opposite order.

#include <stdlib.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))

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

static void run(long blocks, long threads, int backwards, void **given)
{
    const size_t size = 256 * 1024;
    arguments = given;
    for (long block = 0; block < blocks; block++) {
        blockIdx.x = backwards ? blocks - 1 - block : block;
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
        for (long left = threads; left > 0;)
            for (long i = 0; i < threads; i++) {
                const long t = backwards ? threads - 1 - i : i;
                if (ended[t])
                    continue;
                threadIdx.x = t;
                swapcontext(&scheduler, &fibers[t]);
                left -= ended[t];
            }
    }
}
