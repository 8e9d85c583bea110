#include "cli/cli_priv.h"

/* To add a command, add a row; nouns stay together. */

static const struct cli_opt init_opts[] = {
	{"name", "NAME", "Name of the site, under which its ledger is signed; else narthex"},
	{"environment", "WORD", "dev, test or prod; else dev"},
	{"pool", "FOLDER",
		"Where all data rests, often a file system of its own; else in the site"},
	{"domain", "NAME", "A further DNS name or address for the certificate (repeatable)"},
	{"allow-ae", "AE=COLLECTION[/ROLE]",
		"Let CALLING[:CALLED[:ADDRESS]] use a collection (repeatable)"},
	{0},
};

static const struct cli_opt serve_opts[] = {
	{"ready-file", "FILE", "Written when the site is served: ports, CA, process"},
	{"check-config", NULL,
		"Check the configuration, and that what it names is there; then end"},
	{0},
};

static const struct cli_opt config_opts[] = {
	{"reference", NULL, "All keys with their defaults and meaning"},
	{0},
};

static const struct cli_opt help_opts[] = {
	{"man", NULL, "The man page, in roff"},
	{"completion", NULL, "Completion for bash"},
	{"tables", NULL, "The tables of the conformance statement, in Markdown"},
	{0},
};

static const struct cli_opt rm_opts[] = {
	{"collection", "NAME", "Which collection; else curated"},
	{0},
};

static const struct cli_opt create_opts[] = {
	{"zone", "ZONE", "landing, curated, training, scratch, archive or vault; else curated"},
	{"sensitivity", "WORD", "Which key domain of the environment: phi, deid; else deid"},
	{"project", "NAME", "Project it belongs to"},
	{"on-conflict", "WORD", "Other bytes under a known UID: version or reject"},
	{0},
};

static const struct cli_opt allow_opts[] = {
	{"called", "AE", "Called AE title; else NARTHEX"},
	{"address", "ADDRESS", "Only from there; cn:NAME for the holder of a certificate"},
	{"role", "ROLE",
		"modality: send; workstation: also query and retrieve; quality: also reject.  "
		"Else modality"},
	{0},
};

static const struct cli_opt destination_opts[] = {
	{"plain", NULL, "Without TLS: patient data crosses the network in clear"},
	{"calling", "AE", "Call it as this AE title; else NARTHEX"},
	{0},
};

static const struct cli_opt remove_opts[] = {
	{"called", "AE", "Called AE title; else NARTHEX"},
	{0},
};

static const struct cli_opt token_opts[] = {
	{"days", "N", "Until it expires; else never"},
	{0},
};

static const struct cli_opt import_opts[] = {
	{"collection", "NAME", "Which collection; else clinical"},
	{"jobs", "N", "Connections at a time; else 4"},
	{0},
};

static const struct cli_opt find_opts[] = {
	{"collection", "NAME", "Which collection; else clinical"},
	{"limit", "N", "Most rows; else 1000"},
	{0},
};

static const struct cli_opt get_opts[] = {
	{"collection", "NAME", "Which collection; else clinical, and curated for an object"},
	{"series", "UID", "Only this series of the study"},
	{"instance", "UID", "Only this instance"},
	{"object", NULL, "The name is an object's key, and the place a file; - is standard output"},
	{0},
};

static const struct cli_opt put_opts[] = {
	{"collection", "NAME", "Which collection; else curated"},
	{"type", "MEDIA", "Media type; else application/octet-stream"},
	{"patient", "ID", "Whom it is about: it is in their accounting and goes with an erasure"},
	{"issuer", "NAME", "Who gave out the id; else nobody in particular"},
	{0},
};

static const struct cli_opt ls_opts[] = {
	{"collection", "NAME", "Which collection; else curated"},
	{"after", "KEY", "Keys past this one"},
	{"limit", "N", "Most objects; else all"},
	{0},
};

static const struct cli_opt bench_opts[] = {
	{"mib", "N", "How much to write and read in each measurement; else 256"},
	{0},
};

static const struct cli_opt search_opts[] = {
	{"from", "TIME", "YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ"},
	{"to", "TIME", "Before then"},
	{"action", "WORD", "instance.store, read, access.deny, ..."},
	{"principal", "NAME", "What this principal did, newest first"},
	{"study", "UID", "What happened to this study, newest first"},
	{"subject", "HEX", "What happened to this subject, newest first"},
	{"after", "INDEX", "Entries past this one"},
	{"limit", "N", "Most entries; else 1000"},
	{"last", "N", "The newest N that match, newest first"},
	{0},
};

static const struct cli_opt prove_opts[] = {
	{"principal", "NAME", "Of this principal"},
	{"study", "UID", "Of this study"},
	{"subject", "HEX", "Of this subject"},
	{0},
};

static const struct cli_opt fsck_opts[] = {
	{"rebuild", NULL, "Move the catalog aside and make it again from packs and key store"},
	{"repair", NULL, "Remove what nothing names, set wrong counters right"},
	{0},
};

static const struct cli_opt deid_opts[] = {
	{"study", "UID", "This study"},
	{"all", NULL, "Every study of the collection"},
	{"collection", "NAME", "Where it is; else clinical"},
	{"to", "NAME", "Where the copy goes; else curated"},
	{"profile", "NAME", "Which profile; else basic-thin"},
	{0},
};

static const struct cli_opt release_opts[] = {
	{"collection", "NAME", "What of; else curated"},
	{"study", "UID", "Only this study (repeatable); else all"},
	{0},
};

static const struct cli_opt lease_opts[] = {
	{"purpose", "TEXT", "What for: it goes into the ledger"},
	{"seconds", "N", "Until it ends by itself; else 3600"},
	{0},
};

static const struct cli_opt lease_read_opts[] = {
	{"first", "N", "Position in the manifest, from 0"},
	{"count", "N", "Most samples; else 64"},
	{0},
};

static const struct cli_opt erase_opts[] = {
	{"patient", "ID", "The patient's id"},
	{"issuer", "NAME", "Who gave out the id; else nobody in particular"},
	{"collection", "NAME", "In which collection the patient has this id"},
	{"subject", "HEX", "Instead of a patient: the subject as a certificate names it"},
	{"reason", "TEXT", "For ledger and certificate; no identifiers"},
	{"certificate", "FILE", "Where the certificate goes; else standard output"},
	{"yes", NULL, "Do not ask"},
	{0},
};

static const struct cli_opt who_saw_opts[] = {
	{"patient", "ID", "This patient"},
	{"issuer", "NAME", "Who gave out the id; else nobody in particular"},
	{"collection", "NAME", "In which collection the patient has this id; else clinical"},
	{"study", "UID", "This study"},
	{"subject", "HEX", "This subject: also of an erased patient, as the certificate names it"},
	{"user", "NAME", "What this principal saw and did"},
	{"from", "TIME", "YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ"},
	{"to", "TIME", "Before then"},
	{"proof", "FILE", "The proof of all of it, for narthex-verify"},
	{0},
};

static const struct cli_opt restore_opts[] = {
	{"from", "DIR", "The backup"},
	{"keys", "PLACE[,PLACE]", "Key places that survived"},
	{0},
};

static const struct cli_opt quarantine_opts[] = {
	{"collection", "NAME", "Only of this collection"},
	{"reason", "WORD",
		"truncated, malformed, too-deep, bad-uid, other-class or other-instance"},
	{"after", "NUMBER", "Numbers past this one"},
	{"limit", "N", "Most rows; else 1000"},
	{0},
};

static const struct cli_opt discard_opts[] = {
	{"yes", NULL, "Do not ask"},
	{0},
};

static const struct cli_opt settle_opts[] = {
	{"keep", "VERSION", "The version that counts; required where versions differ"},
	{"reason", "TEXT", "Why; for the ledger; required"},
	{0},
};

static const struct cli_opt edit_opts[] = {
	{"collection", "NAME", "Which collection; else clinical"},
	{"set", "KEY=VALUE", "What an attribute is to say, by keyword (repeatable)"},
	{"remove", "KEY", "An attribute that is to go (repeatable)"},
	{"into", "ID",
		"Study, patient: it is of this patient, who is called and born as known here"},
	{"into-issuer", "NAME", "Who gave out that id; else nobody in particular"},
	{"issuer", "NAME", "Patient: who gave out the id; else nobody in particular"},
	{"reason", "TEXT", "Why; for the ledger; required"},
	{"source", "TEXT", "Where the values so far came from"},
	{"coerce", NULL, "To fit the local system, not because it was wrong"},
	{"dry-run", NULL, "Only say what would change"},
	{0},
};

static const struct cli_opt versions_opts[] = {
	{"collection", "NAME", "Which collection; else clinical"},
	{0},
};

static const struct cli_opt reject_opts[] = {
	{"collection", "NAME", "Which collection; else clinical"},
	{"reason", "WORD", "quality, safety, worklist or retention; required"},
	{0},
};

static const struct cli_opt restore_rejected_opts[] = {
	{"collection", "NAME", "Which collection; else clinical"},
	{"reason", "TEXT", "Why; for the ledger; required"},
	{0},
};

static const struct cli_opt rejected_get_opts[] = {
	{"collection", "NAME", "Which collection; else clinical"},
	{0},
};

static const struct cli_opt rejected_opts[] = {
	{"collection", "NAME", "Which collection; else clinical"},
	{"after", "NUMBER", "Numbers past this one"},
	{"limit", "N", "Most rows; else 1000"},
	{0},
};

static const struct cli_opt conflict_opts[] = {
	{"collection", "NAME", "Only of this collection"},
	{"after", "NUMBER", "Numbers past this one"},
	{"limit", "N", "Most rows; else 1000"},
	{0},
};

static const struct cli_opt forward_add_opts[] = {
	{"collection", "NAME", "What is stored there; else clinical"},
	{"commitment", NULL,
		"Ask the destination afterwards whether it keeps it, and send again what it has not"},
	{0},
};

static const struct cli_opt forward_queue_opts[] = {
	{"destination", "AE", "Only what this one is owed"},
	{"state", "WORD", "waiting, asked or dead; else all"},
	{"after", "NUMBER", "Numbers past this one"},
	{"limit", "N", "Most rows; else 1000"},
	{0},
};

static const struct cli_opt forward_retry_opts[] = {
	{"dead", NULL, "All dead letters"},
	{"destination", "AE", "Only those to this one"},
	{0},
};

static const struct cli_opt forward_drop_opts[] = {
	{"dead", NULL, "All dead letters"},
	{"destination", "AE", "Only those to this one"},
	{"yes", NULL, "Do not ask"},
	{0},
};

static const struct cli_opt worklist_opts[] = {
	{"collection", "NAME", "Of which collection; else clinical"},
	{0},
};

static const struct cli_opt worklist_list_opts[] = {
	{"collection", "NAME", "Of which collection; else clinical"},
	{"state", "STATE", "Only what is scheduled, started, completed, discontinued or expired"},
	{0},
};

static const struct cli_opt worklist_add_opts[] = {
	{"collection", "NAME", "Of which collection; else clinical"},
	{"file", "FILE", "A data set in the DICOM JSON Model"},
	{0},
};

static const struct cli_opt step_list_opts[] = {
	{"collection", "NAME", "Of which collection; else clinical"},
	{"after", "UID", "Those past this one"},
	{"limit", "N", "Most rows, up to 1000"},
	{0},
};

static const struct cli_opt changes_opts[] = {
	{"collection", "NAME", "Of this collection; else clinical"},
	{"after", "NUMBER", "Numbers past this one"},
	{"limit", "N", "Most rows, up to 1000; else 100"},
	{"wait", "SECONDS", "Where there is none yet, wait for one, up to 60"},
	{0},
};

#define EDIT_MORE                                                                          \
	"Instances get new versions that say what they said before; the originals stay.\n" \
	"What was cut short is completed by the same command again."

const struct cli_cmd cli_cmds[] = {
	{"init", NULL, "", "Make a site",
		"Makes keys, certificates, catalog, ledger and the collections clinical, curated "
		"and archive.\nThe administrator's token is printed once.",
		init_opts, 0, 0, CLI_SITE | CLI_SECRET, cmd_init},
	{"serve", NULL, "", "Serve a site",
		"SIGTERM ends it in order; SIGHUP reads the certificates again.", serve_opts, 0, 0,
		CLI_SITE | CLI_SECRET, cmd_serve},
	{"status", NULL, "", "What a served site holds and does", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_status},
	{"import", NULL, "PATH...", "Send DICOM files and folders",
		"What is there already is not stored again: run it again after an interruption.",
		import_opts, 1, -1, CLI_SERVER, cmd_import},
	{"find", NULL, "study|series|instance [KEY=VALUE...]", "Find by attributes",
		"KEY is an attribute's keyword or tag: PatientID=X StudyDate=20260101-20260131.",
		find_opts, 1, -1, CLI_SERVER, cmd_find},
	{"get", NULL, "STUDY|KEY PLACE", "Fetch a study into a folder, or an object into a file",
		NULL, get_opts, 2, 2, CLI_SERVER, cmd_get},
	{"changes", NULL, "", "What became of instances, by number",
		"Every instance that is stored, changed or deleted has a number in its collection, "
		"without a gap.\nAsk for those past the last one that was seen.",
		changes_opts, 0, 0, CLI_SERVER, cmd_changes},
	{"put", NULL, "FILE KEY", "Store a file as an object; - is standard input",
		"A patient id counts in the key domain of the collection, so --patient needs "
		"--collection.\nWithout --patient a new version belongs to whom the old one "
		"belongs to.",
		put_opts, 2, 2, CLI_SERVER, cmd_put},
	{"ls", NULL, "[PREFIX]", "List objects, in order of their keys", NULL, ls_opts, 0, 1,
		CLI_SERVER, cmd_ls},
	{"rm", NULL, "KEY", "Delete an object", NULL, rm_opts, 1, 1, CLI_SERVER, cmd_rm},
	{"quarantine", "list", "", "List what was storable but wrong, and is kept aside", NULL,
		quarantine_opts, 0, 0, CLI_SERVER, cmd_quarantine_list},
	{"quarantine", "show", "NUMBER", "Why it is there, and what is known of it", NULL, NULL, 1,
		1, CLI_SERVER, cmd_quarantine_show},
	{"quarantine", "get", "NUMBER FILE", "Its bytes as received; - is standard output",
		"A data set that came over C-STORE has no preamble and no meta group.", NULL, 2, 2,
		CLI_SERVER, cmd_quarantine_get},
	{"quarantine", "retry", "NUMBER", "Take it in again, as it came",
		"When that works, it leaves quarantine.  When not, it stays.", NULL, 1, 1,
		CLI_SERVER, cmd_quarantine_retry},
	{"quarantine", "discard", "NUMBER", "Destroy its key and forget it", NULL, discard_opts, 1,
		1, CLI_SERVER, cmd_quarantine_discard},
	{"conflict", "list", "", "List what came and contradicts what is there", NULL,
		conflict_opts, 0, 0, CLI_SERVER, cmd_conflict_list},
	{"conflict", "show", "NUMBER", "Versions, where they came from, which attributes differ",
		NULL, NULL, 1, 1, CLI_SERVER, cmd_conflict_show},
	{"conflict", "settle", "NUMBER", "Say which version counts",
		"It becomes the newest, as a new version with the same bytes.  The others stay "
		"readable.\nOf two patients, or of two names of one, both are kept.",
		settle_opts, 1, 1, CLI_SERVER, cmd_conflict_settle},
	{"conflict", "get", "NUMBER VERSION FILE", "The bytes of a version; - is standard output",
		NULL, NULL, 3, 3, CLI_SERVER, cmd_conflict_get},
	{"edit", "patient", "ID", "Correct all studies of a patient, or give them to another",
		EDIT_MORE, edit_opts, 1, 1, CLI_SERVER, cmd_edit},
	{"edit", "study", "STUDY", "Correct a study, or give it to another patient", EDIT_MORE,
		edit_opts, 1, 1, CLI_SERVER, cmd_edit},
	{"edit", "series", "STUDY SERIES", "Correct a series", EDIT_MORE, edit_opts, 2, 2,
		CLI_SERVER, cmd_edit},
	{"edit", "instance", "STUDY SERIES INSTANCE", "Correct an instance", EDIT_MORE, edit_opts,
		3, 3, CLI_SERVER, cmd_edit},
	{"versions", "list", "STUDY SERIES INSTANCE", "List the versions of an instance", NULL,
		versions_opts, 3, 3, CLI_SERVER, cmd_version_list},
	{"versions", "get", "STUDY SERIES INSTANCE VERSION FILE",
		"The bytes of a version; - is standard output", NULL, versions_opts, 5, 5,
		CLI_SERVER, cmd_version_get},
	{"reject", NULL, "STUDY [SERIES [INSTANCE]]", "Say that instances are not to be used",
		"A rejection note is made and stored with the study; no query or retrieval gives "
		"what it names.",
		reject_opts, 1, 3, CLI_SERVER, cmd_reject},
	{"rejected", "list", "", "List what rejection notes say is not to be used", NULL,
		rejected_opts, 0, 0, CLI_SERVER, cmd_rejected_list},
	{"rejected", "get", "NUMBER FILE", "The bytes of a rejected instance; - is standard output",
		NULL, rejected_get_opts, 2, 2, CLI_SERVER, cmd_rejected_get},
	{"rejected", "restore", "STUDY [SERIES [INSTANCE]]", "Use again what is rejected", NULL,
		restore_rejected_opts, 1, 3, CLI_SERVER, cmd_rejected_restore},
	{"deid", NULL, "", "De-identified copies of studies",
		"What the profile cannot make safe is left out and named.  What was copied before "
		"is not\ncopied again.",
		deid_opts, 0, 0, CLI_SERVER, cmd_deid},
	{"release", "create", "NAME", "Publish a new version of a dataset",
		"A release never changes; the same items have the same root.", release_opts, 1, 1,
		CLI_SERVER, cmd_release_create},
	{"release", "list", "[NAME]", "List the published releases", NULL, NULL, 0, 1, CLI_SERVER,
		cmd_release_list},
	{"release", "manifest", "NAME@V", "The signed manifest of a release", NULL, NULL, 1, 1,
		CLI_SERVER, cmd_release_manifest},
	{"release", "verifier", "", "The key line that verifies this site's manifests", NULL, NULL,
		0, 0, CLI_SERVER, cmd_release_verifier},
	{"lease", "open", "NAME[@V]", "Open a lease on a release; prints its id",
		"libnarthex opens and ends leases by itself: this is for other readers.",
		lease_opts, 1, 1, CLI_SERVER, cmd_lease_open},
	{"lease", "read", "LEASE", "Places and keys of samples",
		"The bytes are read by libnarthex.  --json prints keys: keep them nowhere.",
		lease_read_opts, 1, 1, CLI_SERVER, cmd_lease_read},
	{"lease", "end", "LEASE", "End a lease", NULL, NULL, 1, 1, CLI_SERVER, cmd_lease_end},
	{"erase", NULL, "", "Erase a patient, for good; the answer is a certificate",
		"Destroys the keys of all that this site holds of the patient, in all collections "
		"and in every\nbackup.  It cannot be undone.",
		erase_opts, 0, 0, CLI_SERVER, cmd_erase},
	{"certificate", "check", "FILE", "Is a certificate of erasure this site's, and unchanged",
		NULL, NULL, 1, 1, CLI_SERVER, cmd_certificate_check},
	{"who-saw", NULL, "", "Who saw a patient or a study, or what somebody saw",
		"One of --patient, --study, --subject, --user.  The question is in the ledger, too.",
		who_saw_opts, 0, 0, CLI_SERVER, cmd_who_saw},
	{"backup", NULL, "FOLDER", "Bring a backup in a folder of the server up to date",
		"The backup is ciphertext throughout.  It has no keys: keep a key place elsewhere.",
		NULL, 1, 1, CLI_SERVER, cmd_backup},
	{"restore", NULL, "", "Make a site from a backup and a surviving key place",
		"--site is the new site.  Key places that were lost are made again.  What was "
		"erased since\nthe backup stays erased.",
		restore_opts, 0, 0, CLI_SITE | CLI_SECRET, cmd_restore},
	{"collection", "list", "", "List the collections", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_collection_list},
	{"collection", "create", "NAME", "Make a collection", NULL, create_opts, 1, 1, CLI_SERVER,
		cmd_collection_create},
	{"ae", "list", "", "List the DICOM peers that may call", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_ae_list},
	{"ae", "allow", "CALLING COLLECTION", "Let a DICOM peer use a collection", NULL, allow_opts,
		2, 2, CLI_SERVER, cmd_ae_allow},
	{"ae", "remove", "CALLING", "Let a DICOM peer call no longer", NULL, remove_opts, 1, 1,
		CLI_SERVER, cmd_ae_remove},
	{"destination", "list", "", "List the DICOM peers that instances are sent to", NULL, NULL,
		0, 0, CLI_SERVER, cmd_destination_list},
	{"destination", "set", "AE HOST PORT", "Let instances be sent to a DICOM peer",
		"Over TLS, with the site's certificate; the peer's must be of tls.destination_ca.",
		destination_opts, 3, 3, CLI_SERVER, cmd_destination_set},
	{"destination", "remove", "AE", "Let instances be sent to a DICOM peer no longer", NULL,
		NULL, 1, 1, CLI_SERVER, cmd_destination_remove},
	{"echo", NULL, "AE", "C-ECHO with a DICOM peer that instances are sent to", NULL, NULL, 1,
		1, CLI_SERVER, cmd_echo},
	{"forward", "list", "", "List what is sent on, and to whom", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_forward_list},
	{"forward", "add", "NAME DESTINATION [KEY=VALUE...]",
		"Have what is stored sent on to a destination",
		"All conditions must hold.  KEY is Modality, CallingAE, SOPClassUID, "
		"TransferSyntaxUID, StudyDescription,\nSeriesDescription, BodyPartExamined, "
		"StationName or ReferringPhysicianName.  VALUE may have * and ?,\nand is several "
		"with backslashes between: 'Modality=CT\\MR' 'StudyDescription=*chest*'.  Case does "
		"not\ncount.  A rule of that name is replaced.",
		forward_add_opts, 2, -1, CLI_SERVER, cmd_forward_add},
	{"forward", "remove", "NAME", "Have it sent on no longer; what waits is still sent", NULL,
		NULL, 1, 1, CLI_SERVER, cmd_forward_remove},
	{"forward", "send", "STUDY DESTINATION", "Send a study to a destination", NULL,
		forward_add_opts, 2, 2, CLI_SERVER, cmd_forward_send},
	{"forward", "queue", "", "List what destinations are owed, and dead letters", NULL,
		forward_queue_opts, 0, 0, CLI_SERVER, cmd_forward_queue},
	{"forward", "retry", "[NUMBER]", "Try it, or all dead letters, again from the beginning",
		NULL, forward_retry_opts, 0, 1, CLI_SERVER, cmd_forward_retry},
	{"forward", "drop", "[NUMBER]", "Forget it, or all dead letters", NULL, forward_drop_opts,
		0, 1, CLI_SERVER, cmd_forward_drop},
	{"worklist", "list", "", "List what is scheduled, and what became of it",
		"What performed procedure steps say of it: scheduled, started, completed, "
		"discontinued; or expired, as\nnobody did it in time.",
		worklist_list_opts, 0, 0, CLI_SERVER, cmd_worklist_list},
	{"worklist", "add", "ITEM [KEY=VALUE...]", "Schedule a procedure, or change it",
		"ITEM is a name of yours, such as the accession number.  KEY is an attribute's "
		"keyword; those of the\nscheduled procedure step go into its sequence.  PatientID, "
		"StudyInstanceUID and a step are needed.",
		worklist_add_opts, 1, -1, CLI_SERVER, cmd_worklist_add},
	{"worklist", "set", "ITEM STATE", "Say what became of it",
		"STATE is scheduled, started, completed, discontinued or expired.  What is "
		"scheduled again has new time\nto expire.",
		worklist_opts, 2, 2, CLI_SERVER, cmd_worklist_set},
	{"worklist", "remove", "ITEM", "It is scheduled no longer", NULL, worklist_opts, 1, 1,
		CLI_SERVER, cmd_worklist_remove},
	{"step", "list", "", "List what modalities say that they did",
		"Performed procedure steps, as they stand.", step_list_opts, 0, 0, CLI_SERVER,
		cmd_step_list},
	{"step", "show", "UID", "One performed procedure step",
		"With --json all of its attributes.", worklist_opts, 1, 1, CLI_SERVER,
		cmd_step_show},
	{"completeness", NULL, "STUDY", "Is a study complete, and what of it is missing",
		"STUDY is a Study Instance UID.  What is expected is what performed procedure "
		"steps name.",
		worklist_opts, 1, 1, CLI_SERVER, cmd_completeness},
	{"token", "list", "", "List the tokens", NULL, NULL, 0, 0, CLI_SERVER, cmd_token_list},
	{"token", "create", "NAME ROLE", "Make a token; it is shown once",
		"Roles: admin, reader, technologist, steward, auditor, monitor, trainer.",
		token_opts, 2, 2, CLI_SERVER, cmd_token_create},
	{"token", "revoke", "NAME", "Revoke a token", NULL, NULL, 1, 1, CLI_SERVER,
		cmd_token_revoke},
	{"key", "status", "", "State of the key store", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_key_status},
	{"key", "rotate", "[DOMAIN]", "New keys for a domain, or for all", NULL, NULL, 0, 1,
		CLI_SERVER, cmd_key_rotate},
	{"key", "place", "FOLDER", "A further key place in a folder of the server",
		"It is kept in step from then on.  Name it in keys.places of narthex.yaml, too.",
		NULL, 1, 1, CLI_SERVER, cmd_key_place},
	{"key", "passphrase", "", "A new passphrase for the key store", NULL, NULL, 0, 0,
		CLI_SERVER | CLI_SECRET, cmd_key_passphrase},
	{"ledger", "search", "", "Search the ledger",
		"From the first entry on; with --last, --principal, --study or --subject newest first.",
		search_opts, 0, 0, CLI_SERVER, cmd_ledger_search},
	{"ledger", "verify", "", "Recompute the whole ledger", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_ledger_verify},
	{"ledger", "checkpoint", "", "The newest signed checkpoint", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_ledger_checkpoint},
	{"ledger", "prove", "", "An accounting with all proofs, for the offline verifier", NULL,
		prove_opts, 0, 0, CLI_SERVER, cmd_ledger_prove},
	{"ledger", "export", "FOLDER", "The whole ledger into a folder, as tlog tiles", NULL, NULL,
		1, 1, CLI_SERVER, cmd_ledger_export},
	{"scrub", NULL, "", "Authenticate every stored byte", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_scrub},
	{"fsck", NULL, "", "Check a site that is not served: catalog, bytes, ledger",
		"After a crash it is not needed: the site opens by itself.", fsck_opts, 0, 0,
		CLI_SITE | CLI_SECRET, cmd_fsck},
	{"doctor", NULL, "", "Check the machine and the set-up of a site",
		"Every check says what to do about it.  Ends with 1 when one of them is bad.", NULL,
		0, 0, CLI_SITE, cmd_doctor},
	{"bench", NULL, "", "Measure processor and disk as this site uses them",
		"Writes only into a temporary folder of the pool, and removes it.  Run it on an "
		"idle machine.",
		bench_opts, 0, 0, CLI_SITE, cmd_bench},
	{"config", NULL, "", "The configuration in force, or all keys", NULL, config_opts, 0, 0,
		CLI_SITE, cmd_config},
	{"version", NULL, "", "Version and implementation of cryptography", NULL, NULL, 0, 0, 0,
		cmd_version},
	{"help", NULL, "[COMMAND [VERB]]", "What a command takes, all commands, or the man page",
		NULL, help_opts, 0, 2, 0, cmd_help},
	{0},
};
