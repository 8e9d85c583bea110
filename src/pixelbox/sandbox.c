#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/auto.h"
#include "base/sanitize.h"
#include "pixelbox/pixelbox_priv.h"

#define SANITIZED (NX_WITH_ASAN || NX_WITH_TSAN)

enum {
	/* A worker is replaced long before; a hang is ended by alarm() and by the pool. */
	CPU_SECONDS_MAX = 24 * 3600
};

/* Memory, its lock, the clock, and ways to end.  Sockets and mappings have rules of their own. */
static const int allowed[] = {SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise),
	SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(getrandom), SCMP_SYS(alarm),
	SCMP_SYS(setitimer), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(getpid), SCMP_SYS(gettid)};

/* What the sanitizers' runtimes do, to say what they found. */
static const int sanitizers[] = {SCMP_SYS(write), SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield),
	SCMP_SYS(rt_sigaction), SCMP_SYS(close), SCMP_SYS(mprotect), SCMP_SYS(prctl)};

static bool list_allow(scmp_filter_ctx filter, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) != 0)
			return false;
	return true;
}

static bool rules_add(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp socket = SCMP_A0_64(SCMP_CMP_EQ, NX_BOX_SOCKET, 0);
	const struct scmp_arg_cmp no_code = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct scmp_arg_cmp itself = SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
	const struct scmp_arg_cmp own_limits = SCMP_A0_64(SCMP_CMP_EQ, 0, 0);

	return list_allow(filter, allowed, NX_ARRAY_LEN(allowed)) &&
		(!SANITIZED || list_allow(filter, sanitizers, NX_ARRAY_LEN(sanitizers))) &&
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(recvfrom), 1, socket) == 0 &&
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1, socket) == 0 &&
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code) == 0 &&
		(SANITIZED ||
			seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code) ==
				0) &&
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, itself) == 0 &&
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, own_limits) == 0;
}

static bool filter_load(void)
{
	/* A sanitizer asks for files to say where it was; it is told that there are none. */
	scmp_filter_ctx filter =
		seccomp_init(SANITIZED ? SCMP_ACT_ERRNO(1) : SCMP_ACT_KILL_PROCESS);
	bool loaded;

	if (!filter)
		return false;
	loaded = rules_add(filter) && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return loaded;
}

static bool limit_set(int what, rlim_t most)
{
	const struct rlimit limit = {most, most};

	return setrlimit((__rlimit_resource_t)what, &limit) == 0;
}

bool nx_sandbox_enter(void)
{
	/* Shadow memory is larger than any limit. */
	const rlim_t memory = SANITIZED ? RLIM_INFINITY : (rlim_t)NX_LIMIT_PIXEL_MEMORY;

	return close_range(NX_BOX_OUTPUT + 1, ~0u, 0) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0 &&
		limit_set(RLIMIT_CORE, 0) && limit_set(RLIMIT_FSIZE, 0) &&
		limit_set(RLIMIT_NOFILE, 0) && limit_set(RLIMIT_NPROC, 0) &&
		limit_set(RLIMIT_CPU, CPU_SECONDS_MAX) && limit_set(RLIMIT_AS, memory) &&
		filter_load();
}
