#include "ledger/detail.h"

#include "ledger/ledger_priv.h"

void nx_detail_begin(struct nx_detail *detail)
{
	nx_buf_init(&detail->buf, ENTRY_DETAIL_MAX, NX_BUF_WIPE);
	nx_json_init(&detail->json, &detail->buf);
	nx_json_object_begin(&detail->json);
}

nx_rc nx_detail_end(struct nx_detail *detail, const char *peer, struct nx_entry_draft *draft,
	struct nx_err *err)
{
	if (peer && peer[0])
		nx_json_kv_str(&detail->json, "peer", peer);
	nx_json_object_end(&detail->json);
	draft->detail = nx_buf_slice(&detail->buf);
	return nx_buf_check(&detail->buf, err);
}

void nx_detail_done(struct nx_detail *detail)
{
	nx_buf_done(&detail->buf);
}
