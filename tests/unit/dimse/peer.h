/*
 * peer.h - what a peer says in tests of associations, and a door to say it to.
 *
 * Layer:   tests.
 * Threads: one thread at a time.
 */
#ifndef NX_TEST_PEER_H
#define NX_TEST_PEER_H

#include "base/buf.h"
#include "dimse/dimse_priv.h"
#include "mem_io.h"
#include "mock_forward.h"
#include "mock_ingest.h"
#include "mock_retrieve.h"

#define PEER_USER     "reader"
#define PEER_PASSCODE "a passcode"

#define PEER_VERIFICATION "1.2.840.10008.1.1"
#define PEER_CT           "1.2.840.10008.5.1.4.1.1.2"
#define PEER_PRIVATE      "1.3.46.670589.11.0.0.12.1"
#define PEER_FIND         "1.2.840.10008.5.1.4.1.2.2.1"
#define PEER_FIND_PATIENT "1.2.840.10008.5.1.4.1.2.1.1"
#define PEER_GET          "1.2.840.10008.5.1.4.1.2.2.3"
#define PEER_COMMIT       "1.2.840.10008.1.20.1"
#define PEER_WORKLIST     "1.2.840.10008.5.1.4.31"
#define PEER_STEP         "1.2.840.10008.3.1.2.3.3"
#define PEER_REFUSED      "1.2.840.10008.5.1.4.32.1" /* retired: general purpose worklist */

/* How the peer, as an SCP, answers the C-STORE-RQs that it gets. */
struct peer_scp {
	uint16_t status;    /* of the n-th, where `status_at` is it; others succeed */
	unsigned status_at; /* from 1; 0: of all */
	unsigned silent_at; /* from 1: this one is not answered */
	bool wrong_id;
	bool late; /* answers are kept until a window of them is full, and come in reverse */
	unsigned window;

	unsigned asked;
	uint16_t held[64];
	unsigned n_held;
	size_t scanned;
	uint8_t context;
	uint16_t message_id;
	uint16_t priority;
	char last_instance[65];
	struct nx_buf command;
};

struct peer {
	struct mock_ingest mock;
	struct peer_scp scp;
	struct mock_retrieve retrieve;
	struct mock_forward forward;
	struct nx_dimse_opts opts;
	struct nx_dimse *dimse;
	struct nx_buf script; /* what the peer sends */
	struct mem_io mem;
	nx_rc authenticate;
	nx_rc authorize;
	unsigned refused;
	unsigned principals; /* alive */
	struct nx_pdu_associate rq;
	uint32_t max_pdu; /* the peer's */
};

void peer_init(struct peer *peer);
void peer_done(struct peer *peer);

/* Append to the script.  The request proposes verification (1), CT (3), a private class (5),
 * FIND of study root (7) and of patient root (9), what is refused (11),
 * GET (13) storage commitment (15) and the worklist (17). */
void peer_associate(struct peer *peer);
void peer_command(struct peer *peer, uint8_t context, const struct nx_dimse_cmd *cmd);
struct nx_dimse_cmd peer_echo_cmd(uint16_t message_id);
struct nx_dimse_cmd peer_store_cmd(uint16_t message_id);
void peer_data(struct peer *peer, uint8_t context, struct nx_slice bytes, uint32_t max_pdu);
void peer_echo(struct peer *peer, uint16_t message_id);
void peer_store(struct peer *peer, uint16_t message_id, struct nx_slice bytes);
/* Identifiers, in implicit VR little endian; keys ascend. */
struct peer_identifier {
	uint8_t bytes[4096];
	size_t n;
};
struct peer_identifier peer_level(const char *level);
void peer_key(struct peer_identifier *id, uint32_t tag, const char *value);
/* A C-FIND with this identifier, in implicit VR little endian, on context 7 or 9. */
void peer_find(struct peer *peer, uint16_t message_id, uint8_t context, struct nx_slice bytes);
/* The same with C-GET, on context 13. */
void peer_get(struct peer *peer, uint16_t message_id, struct nx_slice bytes);
void peer_cancel(struct peer *peer, uint16_t responded_id, uint8_t context);
void peer_release(struct peer *peer);

/* Run the script; the transport gives `chunk` bytes a read (0: all). */
void peer_run(struct peer *peer, size_t chunk);

/* What came back. */
struct peer_answers {
	bool accepted;
	bool rejected;
	bool released;
	bool aborted;
	struct nx_pdu_refusal why; /* of RJ or ABORT */
	struct nx_dimse_cmd rsp[80];
	uint8_t rsp_context[80];
	size_t data; /* bytes of data sets */
	size_t n_rsp;
	uint32_t longest_pdu; /* of P-DATA-TF */
};
void peer_answers(const struct peer *peer, struct peer_answers *ret);

#endif
