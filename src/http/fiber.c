#include "http/fiber.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/thread.h"

#if NX_WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if NX_WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

enum {
	GUARD_LEN = 64 * 1024 /* more than a page: frames can be larger than one */
};

struct nx_fiber {
	ucontext_t inside;
	ucontext_t outside;
	uint8_t *map;
	void (*fn)(void *);
	void *arg;
	bool alive;
	/* what the sanitizers want to know about a switch */
	const void *out_stack;
	size_t out_len;
	void *tsan_inside;
	void *tsan_outside;
};

/* ---- sanitizers: the announcement before a switch, and the arrival after it ---- */

static void leave_for(void **fake, const void *stack, size_t len)
{
#if NX_WITH_ASAN
	__sanitizer_start_switch_fiber(fake, stack, len);
#else
	(void)fake;
	(void)stack;
	(void)len;
#endif
}

static void arrive(void *fake, const void **stack, size_t *len)
{
#if NX_WITH_ASAN
	__sanitizer_finish_switch_fiber(fake, stack, len);
#else
	(void)fake;
	(void)stack;
	(void)len;
#endif
}

static void tsan_switch(void *to)
{
#if NX_WITH_TSAN
	__tsan_switch_to_fiber(to, 0);
#else
	(void)to;
#endif
}

static void tsan_prepare(struct nx_fiber *fiber)
{
#if NX_WITH_TSAN
	if (!fiber->tsan_inside)
		fiber->tsan_inside = __tsan_create_fiber(0);
	fiber->tsan_outside = __tsan_get_current_fiber();
#else
	(void)fiber;
#endif
}

static void tsan_forget(struct nx_fiber *fiber)
{
#if NX_WITH_TSAN
	if (fiber->tsan_inside)
		__tsan_destroy_fiber(fiber->tsan_inside);
#else
	(void)fiber;
#endif
}

/* ---- */

struct nx_fiber *nx_fiber_new(void)
{
	struct nx_fiber *fiber = calloc(1, sizeof(*fiber));
	void *map;

	if (!fiber)
		return NULL;
	map = mmap(NULL, GUARD_LEN + NX_THREAD_STACK_LEN, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (map == MAP_FAILED) {
		free(fiber);
		return NULL;
	}
	fiber->map = map;
	if (mprotect(fiber->map + GUARD_LEN, NX_THREAD_STACK_LEN, PROT_READ | PROT_WRITE) < 0)
		return nx_fiber_free(fiber);
	return fiber;
}

struct nx_fiber *nx_fiber_free(struct nx_fiber *fiber)
{
	if (!fiber)
		return NULL;
	assert(!fiber->alive);
	tsan_forget(fiber);
	(void)munmap(fiber->map, GUARD_LEN + NX_THREAD_STACK_LEN);
	free(fiber);
	return NULL;
}

/* makecontext() passes ints: the pointer comes in two halves. */
static void entry(unsigned hi, unsigned lo)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	struct nx_fiber *fiber = (struct nx_fiber *)(uintptr_t)((uint64_t)hi << 32 | lo);

	arrive(NULL, &fiber->out_stack, &fiber->out_len);
	fiber->fn(fiber->arg);
	fiber->alive = false;
	leave_for(NULL, fiber->out_stack, fiber->out_len);
	tsan_switch(fiber->tsan_outside);
	(void)setcontext(&fiber->outside);
}

static void enter(struct nx_fiber *fiber)
{
	void *fake = NULL;

	tsan_prepare(fiber);
	leave_for(&fake, fiber->map + GUARD_LEN, NX_THREAD_STACK_LEN);
	tsan_switch(fiber->tsan_inside);
	(void)swapcontext(&fiber->outside, &fiber->inside);
	arrive(fake, NULL, NULL);
}

void nx_fiber_start(struct nx_fiber *fiber, void (*fn)(void *), void *arg)
{
	uint64_t self = (uintptr_t)fiber;

	assert(!fiber->alive);
	fiber->fn = fn;
	fiber->arg = arg;
	fiber->alive = true;
	(void)getcontext(&fiber->inside);
	fiber->inside.uc_stack.ss_sp = fiber->map + GUARD_LEN;
	fiber->inside.uc_stack.ss_size = NX_THREAD_STACK_LEN;
	fiber->inside.uc_link = NULL;
	makecontext(
		&fiber->inside, (void (*)(void))entry, 2, (unsigned)(self >> 32), (unsigned)self);
	enter(fiber);
}

void nx_fiber_resume(struct nx_fiber *fiber)
{
	assert(fiber->alive);
	enter(fiber);
}

bool nx_fiber_alive(const struct nx_fiber *fiber)
{
	return fiber->alive;
}

void nx_fiber_yield(struct nx_fiber *fiber)
{
	void *fake = NULL;

	leave_for(&fake, fiber->out_stack, fiber->out_len);
	tsan_switch(fiber->tsan_outside);
	(void)swapcontext(&fiber->inside, &fiber->outside);
	arrive(fake, &fiber->out_stack, &fiber->out_len);
}
