#include "server/descriptors.h"

#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "server/config.h"

enum {
	PER_READER = 4, /* the catalog, its log, its index, and one to spare */
	PER_WORKER = 4, /* of pixelbox: a socket, memory for both ways, and one to spare */
	OTHERS = 128    /* key store, ledger, standard streams, listeners, what a command opens */
};

/* A connection being turned out to make room is there for a moment beside the one it makes room
 * for; an association may have one of its own to the destination of a C-MOVE. */
static uint64_t dimse_connections(const struct nx_config *config)
{
	const enum nx_config_key keys[] = {NX_CFG_LISTEN_DIMSE, NX_CFG_LISTEN_DIMSE_TLS};
	uint64_t most = (uint64_t)nx_config_number(config, NX_CFG_DIMSE_MAX_ASSOCIATIONS);
	uint64_t n = 0;
	char address[64];
	uint16_t port;

	for (size_t i = 0; i < NX_ARRAY_LEN(keys); i++)
		if (nx_config_address(config, keys[i], address, &port))
			n += most + most / 4 + 1;
	return n ? n + most : 0;
}

static uint64_t http_connections(const struct nx_config *config)
{
	const enum nx_config_key keys[] = {NX_CFG_LISTEN_DATA, NX_CFG_LISTEN_MANAGEMENT};
	uint64_t n = NX_LIMIT_LOCAL_CONNECTIONS;
	char address[64];
	uint16_t port;

	for (size_t i = 0; i < NX_ARRAY_LEN(keys); i++)
		if (nx_config_address(config, keys[i], address, &port))
			n += (uint64_t)nx_config_number(config, NX_CFG_HTTP_MAX_CONNECTIONS);
	return n;
}

/* One for each processor. */
static uint64_t workers(void)
{
	const long processors = sysconf(_SC_NPROCESSORS_ONLN);

	return PER_WORKER * (processors > 0 ? (uint64_t)processors : 1);
}

/* Twice the connections of HTTP: as many may be on their way out (http/server.c). */
uint64_t nx_descriptors_needed(const struct nx_config *config)
{
	return dimse_connections(config) + 2 * http_connections(config) +
		(uint64_t)nx_config_number(config, NX_CFG_FORWARD_WORKERS) +
		2ull * NX_LIMIT_OPEN_PACKS + NX_LIMIT_STREAMS +
		PER_READER * (uint64_t)nx_config_number(config, NX_CFG_CATALOG_READERS) +
		workers() + OTHERS;
}

uint64_t nx_descriptors_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_max;
}

nx_rc nx_descriptors_ensure(const struct nx_config *config, struct nx_err *err)
{
	uint64_t needed = nx_descriptors_needed(config);
	uint64_t allowed = nx_descriptors_allowed();
	struct rlimit limit;

	if (needed > allowed)
		return nx_err_set(err, NX_E_CONFIG,
			"the configuration can need %llu open files and %llu are allowed: raise the "
			"limit (LimitNOFILE, ulimit -n) or lower the numbers of connections",
			(unsigned long long)needed, (unsigned long long)allowed);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
		return NX_OK;
	limit.rlim_cur = needed;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? nx_err_errno(err, "limit of open files")
						    : NX_OK;
}
