/* A DIMSE door over the double of ingest: counts and hashes what it is sent.  For measurements and
 * for tests with other people's senders.  Ends when standard input does, and prints the counts. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "dimse/dimse.h"
#include "mock_ingest.h"
#include "net/net.h"

static nx_rc authenticate(void *context, const struct nx_dimse_peer *peer,
	struct nx_dimse_guest *ret, struct nx_err *err)
{
	(void)context, (void)peer, (void)err;
	*ret = (struct nx_dimse_guest){.collection = "sink"};
	return NX_OK;
}

static int serve(struct mock_ingest *mock, uint16_t port)
{
	struct nx_dimse_opts opts = {
		.authenticate = authenticate,
		.ingest = mock_ingest(mock),
		.implementation_uid = "2.25.1",
		.implementation_version = "SINK",
	};
	struct nx_listener_opts listen = {
		.name = "sink",
		.address = "127.0.0.1",
		.port = port,
		.max_conns = 64,
		.fn = nx_dimse_conn,
	};
	NX_AUTO(nx_dimse) *dimse = NULL;
	struct nx_listener *listener;
	struct nx_err err = {0};

	if (nx_dimse_new(&opts, &dimse, &err)) {
		(void)fprintf(stderr, "%s\n", nx_err_text(&err));
		return EXIT_FAILURE;
	}
	listen.payload = dimse;
	if (nx_listener_start(&listen, &listener, &err)) {
		(void)fprintf(stderr, "%s\n", nx_err_text(&err));
		return EXIT_FAILURE;
	}
	(void)printf("port %u\n", nx_listener_port(listener));
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	nx_listener_stop(listener, 2000000);
	(void)printf("stored %llu bytes %llu hash %016llx live %lld\n",
		(unsigned long long)mock->stored, (unsigned long long)mock->bytes,
		(unsigned long long)mock->hash, (long long)mock->live);
	return EXIT_SUCCESS;
}

/* dimse_sink <port> [hash] */
int main(int argc, char **argv)
{
	static struct mock_ingest mock;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: dimse_sink <port> [hash]\n");
		return EXIT_FAILURE;
	}
	mock.hash_off = argc < 3;
	mock.last_off = true;
	return serve(&mock, (uint16_t)strtoul(argv[1], NULL, 10));
}
