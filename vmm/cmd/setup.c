// SPDX-License-Identifier: Apache-2.0
/* ebb setup: makes an image, a Debian from packages, that `ebb run` boots. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/config/disks.h"
#include "vmm/images/images.h"
#include "vmm/images/make.h"
#include "vmm/images/sources.h"
#include "vmm/lib/log.h"

#define SIZE_MIN_MIB 1024
#define SIZE_MAX_MIB (16ULL << 20)
#define MIB	     (1ULL << 20)

enum { SUITE, INCLUDE, SIZE };

static const struct option options[] = {
	{SUITE, 0, "suite", "SUITE",
	 "Debian's bookworm, trixie, forky, sid, stable,\ntesting or unstable [this machine's]",
	 false},
	{INCLUDE, 0, "include", "PACKAGE[,PACKAGE]...", "install more packages", false},
	{SIZE, 0, "size", "SIZE",
	 "the disk's size, which takes room on the host only\nwhere it is written to [8G]", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb setup", "[NAME]",
	"Makes an image NAME [default], a Debian with systemd and an SSH server, from\n"
	"the package mirrors that this machine's apt is configured with, by mmdebstrap,\n"
	"without root. \"ebb run\" boots the one called default, \"ebb run --image NAME\"\n"
	"any, with its own kernel. Its root has no password on the console, and logs in\n"
	"by \"ebb ssh\" with your key if \"ebb run\" was given --ssh.",
	options, sizeof(options) / sizeof(options[0])};

static int set_name(struct image_recipe *recipe, const char *name, struct option_error *error)
{
	const char *wrong = image_name_error(name);

	if (recipe->name)
		return options_fail(error, "two names are given: \"%s\" and \"%s\"; give one",
				    recipe->name, name);
	if (wrong)
		return options_fail(error, "the name \"%s\" %s", name, wrong);
	recipe->name = name;
	return 0;
}

/* mmdebstrap and apt take more than packages there: what begins with another character means something else. */
static int set_include(struct image_recipe *recipe, const char *names, struct option_error *error)
{
	static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyz+-.,";

	if (!*names || strspn(names, plain) != strlen(names) || *names == '-' ||
	    strstr(names, ",-"))
		return options_fail(
			error,
			"\"%s\" is not a list of packages; write their names with commas "
			"between them",
			names);
	recipe->include = names;
	return 0;
}

static int set_size(struct image_recipe *recipe, const char *text, struct option_error *error)
{
	if (options_size("size", text, &recipe->size, error))
		return -EINVAL;
	if (recipe->size >= SIZE_MIN_MIB * MIB && recipe->size <= SIZE_MAX_MIB * MIB)
		return 0;
	return options_fail(error, "a disk of %s is too %s; write 1G to 16T", text,
			    recipe->size < SIZE_MIN_MIB * MIB ? "small" : "large");
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct image_recipe *recipe = ctx;

	switch (id) {
	case SUITE:
		recipe->suite = value;
		if (sources_knows(value))
			return 0;
		return options_fail(error, "an image cannot be of the suite \"%s\"; write %s",
				    value, sources_suites);
	case INCLUDE:
		return set_include(recipe, value, error);
	case SIZE:
		return set_size(recipe, value, error);
	default:
		return set_name(recipe, value, error);
	}
}

int cmd_setup(int argc, char **argv)
{
	struct image_recipe recipe = {.size = 8192 * MIB};
	int status = cmd_parse(&table, argc, argv, apply, &recipe);

	if (status >= 0)
		return status;
	if (!recipe.name)
		recipe.name = VM_IMAGE_DEFAULT;
	int error = image_make(&recipe);
	if (error)
		return error == -EEXIST || error == -ENOENT ? EXIT_USAGE : EXIT_FAILED;
	if (strcmp(recipe.name, VM_IMAGE_DEFAULT) == 0)
		log_info("the image \"%s\" is made: \"ebb run\" boots it", recipe.name);
	else
		log_info("the image \"%s\" is made: \"ebb run --image %s\" boots it", recipe.name,
			 recipe.name);
	return EXIT_DONE;
}
