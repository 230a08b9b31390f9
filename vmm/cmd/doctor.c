// SPDX-License-Identifier: Apache-2.0
/* ebb doctor: checks whether this host is fit for guests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/cmd/cmd.h"
#include "vmm/control/runtime.h"
#include "vmm/doctor/doctor.h"
#include "vmm/lib/json.h"
#include "vmm/lib/table.h"

enum { OPTION_JSON };

static const struct option options[] = {
	{OPTION_JSON, 0, "json", NULL, "print JSON", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb doctor", NULL,
	"Checks whether this host is fit for guests, and tells what to change.\nExits with 0 if guests can run, otherwise with 1.",
	options, 2};

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	bool *json = ctx;
	(void)id, (void)value, (void)error;
	*json = true;
	return 0;
}

static uint64_t limit(int resource)
{
	struct rlimit limits;
	if (getrlimit(resource, &limits) < 0 || limits.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limits.rlim_cur;
}

static void look_at_host(struct doctor_host *host)
{
	struct runtime_guest *guests = NULL;
	*host = (struct doctor_host){
		.root = "",
		.x86 = strcmp(arch_map.name, "x86_64") == 0,
		.user = geteuid(),
		.limit_memlock = limit(RLIMIT_MEMLOCK),
		.limit_as = limit(RLIMIT_AS),
		.limit_data = limit(RLIMIT_DATA),
	};
	vm_probe(&host->kvm, &arch_needs);
	sandbox_probe(&host->sandbox);
	ssize_t count = runtime_list(&guests);
	host->runtime_error = count < 0 ? (int)count : 0;
	host->guests = count < 0 ? 0 : (unsigned int)count;
	free(guests);
}

static void print_text(const struct findings *findings)
{
	static const char *const levels[] = {"OK", "warn", "FAIL"};
	for (unsigned int i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->finding[i];
		printf("%-4s  %-17s  %s: %s\n", levels[finding->level], finding->about,
		       finding->what, finding->means);
		if (finding->change)
			printf("      %17s  -> %s\n", "", finding->change);
	}
}

static void print_json(const struct findings *findings, bool fit)
{
	static const char *const levels[] = {"ok", "warn", "fail"};
	json_t *list = json_array();
	for (unsigned int i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->finding[i];
		json_array_append_new(
			list,
			json_pack("{s:s, s:o, s:o, s:o, s:o}", "level", levels[finding->level],
				  "about", json_text(finding->about), "what",
				  json_text(finding->what), "means", json_text(finding->means),
				  "change",
				  finding->change ? json_text(finding->change) : json_null()));
	}
	json_t *whole = json_pack("{s:b, s:o}", "fit", fit, "findings", list);
	table_print_json(whole, stdout);
	json_decref(whole);
}

int cmd_doctor(int argc, char **argv)
{
	bool json = false;
	bool fit = true;
	int status = cmd_parse(&table, argc, argv, apply, &json);
	if (status >= 0)
		return status;

	struct doctor_host host;
	struct findings findings;
	look_at_host(&host);
	doctor_look(&findings, &host);
	for (unsigned int i = 0; i < findings.count; i++)
		fit = fit && findings.finding[i].level != FINDING_FAIL;
	if (json)
		print_json(&findings, fit);
	else
		print_text(&findings);
	return fit ? EXIT_DONE : EXIT_FAILED;
}
