/* narthex changes: what became of the instances of a collection. */
#include "cli/cli_priv.h"
#include "cli/client.h"

nx_rc cmd_changes(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"NUMBER", "Sequence", 8},
		{"TIME", "Timestamp", 27}, {"ACTION", "Action", 7}, {"NOW", "State", 9},
		{"SUBJECT", "Subject", 17}, {"INSTANCE", "SopInstanceUid", 64}, {0}};
	static const char *const keys[] = {"after", "limit", "wait"};
	NX_AUTO_MEM char *what =
		nx_client_path("/collections/%s/changes", cli_collection(args, "clinical"));
	NX_AUTO_MEM char *path = what ? cli_query(args, what, keys, NX_ARRAY_LEN(keys)) : NULL;

	return path ? cli_list(args, path, "changes", columns, err)
		    : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}
