/*
 * Bytes as a peer may send them, through a whole association over a transport in memory.  The first
 * byte chooses how they are cut into reads and whether a well-formed A-ASSOCIATE-RQ goes before
 * them, so that data transfer is reached at once.  What comes back must be well formed.
 */
#include "fuzz.h"

#include "base/arena.h"
#include "base/log.h"
#include "peer.h"

static void as_answer(struct nx_slice bytes)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(8 * NX_MIB, 0);
	struct nx_pdu_associate a;
	struct nx_dimse_cmd cmd;
	nx_rc rc;

	rc = nx_pdu_associate_parse(bytes, NX_PDU_ASSOCIATE_AC, arena, &a, NULL);
	(void)rc;
	rc = nx_cmd_parse(bytes, &cmd, NULL);
	(void)rc;
}

static void output_check(const struct peer *peer)
{
	struct mem_reader reader = {nx_buf_slice(&peer->mem.out)};
	struct nx_pdu_header pdu;
	struct nx_slice body;

	while (mem_pdu_next(&reader, &pdu, &body))
		FUZZ_CHECK(pdu.type >= NX_PDU_ASSOCIATE_AC && pdu.type <= NX_PDU_ABORT);
	FUZZ_CHECK(peer->retrieve.live == 0 && peer->mock.live == 0 && peer->principals == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t chunks[] = {0, 1, 7, 4096};
	static struct nx_pdu_role scp_of_ct[] = {{PEER_CT, true, true}};
	struct peer peer;

	if (size == 0)
		return 0;
	nx_log_set_level((enum nx_log_level)(NX_LOG_ERROR + 1));
	peer_init(&peer);
	peer.rq.has_window = (data[0] & 8) != 0;
	peer.mock.fail_feed = data[0] & 16 ? NX_E_MALFORMED : NX_OK;
	peer.rq.roles = scp_of_ct;
	peer.rq.n_roles = 1;
	peer.retrieve.matches = 3;
	peer.retrieve.instances = 2;
	if (data[0] & 4)
		peer_associate(&peer);
	nx_buf_put(&peer.script, data + 1, size - 1);
	peer_run(&peer, chunks[data[0] & 3]);
	output_check(&peer);
	peer_done(&peer);
	as_answer(nx_slice(data + 1, size - 1));
	return 0;
}
