/* sd_notify(3): what the service manager is told. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/env.h"

#include "server/serve_priv.h"

enum {
	BEAT_US = 60 * 1000000, /* when nobody asks for a heartbeat */
	BEAT_LEAST_US = 10000
};

void nx_notify(const char *state)
{
	const char *path = nx_env("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	NX_AUTO_FD fd = -1;
	size_t n = path ? strlen(path) : 0;

	if (n < 2 || n >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, n);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

/* Twice in the time after which the manager would give us up; of another process it is not ours. */
int64_t nx_notify_interval_us(void)
{
	const char *text = nx_env("WATCHDOG_USEC"), *of = nx_env("WATCHDOG_PID");
	long long us = text ? strtoll(text, NULL, 10) : 0;

	if (us <= 0 || (of && strtoll(of, NULL, 10) != getpid()))
		return BEAT_US;
	return us / 2 < BEAT_LEAST_US ? BEAT_LEAST_US : us / 2;
}
