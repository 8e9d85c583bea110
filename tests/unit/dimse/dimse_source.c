/* Sends made-up instances over one association as fast as the peer takes them, and prints the rate:
 * the sender of measurements, and what shows that the requester is not the bottleneck. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "dimse/scu.h"

enum {
	SECOND_US = 1000000
};

struct count {
	unsigned good;
	unsigned bad;
};

static void on_status(void *payload, uint16_t message_id, uint16_t status, const char *comment)
{
	struct count *count = payload;

	(void)message_id, (void)comment;
	if (status == 0)
		count->good++;
	else
		count->bad++;
}

static nx_rc all_send(
	struct nx_dimse_scu *scu, unsigned n, struct nx_slice bytes, struct nx_err *err)
{
	char uid[65];
	struct nx_dimse_scu_instance instance = {
		.sop_class = "1.2.840.10008.5.1.4.1.1.2",
		.sop_instance = uid,
		.dataset = bytes,
	};
	nx_rc rc = NX_OK;

	for (unsigned i = 0; !rc && i < n; i++) {
		(void)snprintf(uid, sizeof(uid), "2.25.4711.%u", i);
		rc = nx_dimse_scu_send(scu, &instance, err);
	}
	return rc ? rc : nx_dimse_scu_release(scu, err);
}

/* dimse_source <port> <instances> <bytes each, even> <window> */
int main(int argc, char **argv)
{
	static const char *const ts[] = {"1.2.840.10008.1.2.1"};
	static const struct nx_dimse_scu_context context = {"1.2.840.10008.5.1.4.1.1.2", ts, 1};
	struct count count = {0};
	struct nx_dimse_scu_opts opts = {
		.host = "127.0.0.1",
		.calling = "SOURCE",
		.called = "SINK",
		.implementation_uid = "2.25.1",
		.contexts = &context,
		.n_contexts = 1,
		.on_status = on_status,
		.payload = &count,
	};
	NX_AUTO(nx_dimse_scu) *scu = NULL;
	NX_AUTO_MEM uint8_t *bytes = NULL;
	struct nx_err err = {0};
	size_t size;
	int64_t from;
	nx_rc rc;

	if (argc != 5) {
		(void)fprintf(stderr, "usage: dimse_source <port> <instances> <bytes> <window>\n");
		return EXIT_FAILURE;
	}
	opts.port = (uint16_t)strtoul(argv[1], NULL, 10);
	size = strtoul(argv[3], NULL, 10);
	opts.window = (uint16_t)strtoul(argv[4], NULL, 10);
	bytes = calloc(1, size);
	if (!bytes)
		return EXIT_FAILURE;
	rc = nx_dimse_scu_open(&opts, &scu, &err);
	from = nx_mono_us();
	if (!rc)
		rc = all_send(
			scu, (unsigned)strtoul(argv[2], NULL, 10), nx_slice(bytes, size), &err);
	if (rc) {
		(void)fprintf(stderr, "%s\n", nx_err_text(&err));
		return EXIT_FAILURE;
	}
	(void)printf("window %u: %u good, %u bad, %.0f instances/s, %.0f MB/s\n",
		nx_dimse_scu_window(scu), count.good, count.bad,
		(double)count.good * SECOND_US / (double)(nx_mono_us() - from),
		(double)count.good * (double)size / (double)(nx_mono_us() - from));
	return EXIT_SUCCESS;
}
