#include "net/net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
	BACKLOG = 1024
};

static nx_rc bind_listen(int fd, const struct sockaddr *sa, socklen_t len, struct nx_err *err)
{
	if (bind(fd, sa, len) < 0)
		return nx_err_errno(err, "bind");
	if (listen(fd, BACKLOG) < 0)
		return nx_err_errno(err, "listen");
	return NX_OK;
}

static nx_rc port_of(int fd, uint16_t *ret_port, struct nx_err *err)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} sa = {.v6 = {.sin6_port = 0}};
	socklen_t len = sizeof(sa);

	if (getsockname(fd, &sa.any, &len) < 0)
		return nx_err_errno(err, "getsockname");
	*ret_port = ntohs(sa.any.sa_family == AF_INET6 ? sa.v6.sin6_port : sa.v4.sin_port);
	return NX_OK;
}

static nx_rc listen_at(
	const struct addrinfo *ai, int *ret_fd, uint16_t *ret_port, struct nx_err *err)
{
	NX_AUTO_FD fd = -1;
	const int on = 1, off = 0;
	nx_rc rc;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return nx_err_errno(err, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6) /* "::" takes IPv4 as well, whatever the system's default */
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	rc = bind_listen(fd, ai->ai_addr, ai->ai_addrlen, err);
	if (!rc)
		rc = port_of(fd, ret_port, err);
	if (rc)
		return rc;
	*ret_fd = NX_STEAL_FD(fd);
	return NX_OK;
}

nx_rc nx_listen_socket(
	const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, struct nx_err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *ai = NULL;
	char service[8];
	nx_rc rc;

	(void)snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(address, service, &hints, &ai))
		return nx_err_set(err, NX_E_CONFIG, "listen: %s is not an address", address);
	rc = listen_at(ai, ret_fd, ret_port, err);
	freeaddrinfo(ai);
	return rc ? nx_err_prefix(err, rc, "listen on %s port %u", address, port) : NX_OK;
}

/* A socket nobody listens on any more may be replaced; a live one may not. */
static nx_rc clear_stale(const struct sockaddr_un *sa, struct nx_err *err)
{
	struct stat st;
	NX_AUTO_FD fd = -1;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? NX_OK : nx_err_errno(err, "stat %s", sa->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return nx_err_set(err, NX_E_EXISTS, "%s is not a socket", sa->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return nx_err_errno(err, "socket");
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
		return nx_err_set(err, NX_E_BUSY, "%s is in use", sa->sun_path);
	if (unlink(sa->sun_path) < 0 && errno != ENOENT)
		return nx_err_errno(err, "remove %s", sa->sun_path);
	return NX_OK;
}

nx_rc nx_listen_unix(const char *path, unsigned mode, int *ret_fd, struct nx_err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	NX_AUTO_FD fd = -1;
	nx_rc rc;

	if (strlen(path) >= sizeof(sa.sun_path))
		return nx_err_set(err, NX_E_CONFIG, "socket path longer than %zu bytes",
			sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	rc = clear_stale(&sa, err);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return nx_err_errno(err, "socket");
	/* The mode of the descriptor is that of the file bind() makes: no moment with a wider one.
	 */
	if (fchmod(fd, (mode_t)mode) < 0)
		return nx_err_errno(err, "mode of %s", path);
	rc = bind_listen(fd, (const struct sockaddr *)&sa, sizeof(sa), err);
	if (!rc && chmod(path, (mode_t)mode) < 0)
		rc = nx_err_errno(err, "mode of %s", path);
	if (rc)
		return nx_err_prefix(err, rc, "listen on %s", path);
	*ret_fd = NX_STEAL_FD(fd);
	return NX_OK;
}
