// SPDX-License-Identifier: Apache-2.0
/* The options for the guest's kernel, its initrd and its parameters. */
#include <stdio.h>
#include <string.h>

#include "vmm/config/part.h"

enum { KERNEL, INITRD, PARAMS, NODEFAULTS, DUMP_DTB, RESTORE, RESTORE_ALL, RESUME };

static const struct option options[] = {
	/* OPTION_AGAIN lets set_kernel() report two kernels: one may be a word without -k. */
	{KERNEL | OPTION_AGAIN, 'k', "kernel", "FILE",
	 "the guest's kernel: vmlinux, bzImage or Image; by\ndefault, the one that the first disk would boot",
	 false},
	{INITRD, 'i', "initrd", "FILE", "the guest's initial RAM disk", false},
	{PARAMS | OPTION_AGAIN, 'p', "params", "STRING",
	 "add STRING to the parameters of the guest's\nkernel; may be given again", false},
	{NODEFAULTS, 0, "nodefaults", NULL,
	 "leave out the kernel parameters and devices that\nebb adds by itself; on arm64, the kernel may be a\nflat image without a header",
	 false},
	{DUMP_DTB, 0, "dump-dtb", "FILE",
	 "write the guest's device tree to FILE (arm64 and\nriscv64)", false},
	{RESTORE, 0, "restore", "DIR",
	 "go on from the snapshot in DIR instead of booting;\ngive the options that its guest had, without the\nkernel, -i and -p; its memory is read when it is\nused: DIR must stay as it is while the guest runs;\n- is standard input: what \"ebb snapshot -\" writes",
	 false},
	{RESTORE_ALL, 0, "restore-all", "DIR",
	 "the same, but read and check all memory first: DIR\nis not needed any more once the guest runs",
	 false},
	{RESUME, 0, "resume", NULL,
	 "let the restored guest run, also if it was saved\nwhile it was paused", false},
};

static int set_kernel(struct vm_boot *boot, const char *text, struct option_error *error)
{
	if (boot->kernel)
		return options_fail(error, "two kernels are given: \"%s\" and \"%s\"; name one",
				    boot->kernel, text);
	return config_file(&boot->kernel, "kernel", text, error);
}

static int set_restore(struct vm_boot *boot, const char *text, struct option_error *error)
{
	if (boot->restore)
		return options_fail(error, "--restore and --restore-all cannot be combined");
	return config_file(&boot->restore, "snapshot", text, error);
}

/* Adds to earlier parameters: a script may give some, and its caller others. */
static int add_params(struct vm_boot *boot, const char *text, struct option_error *error)
{
	size_t used = strlen(boot->params);
	size_t len = strlen(text);
	bool space = used > 0 && len > 0;

	if (used + space + len >= sizeof(boot->params))
		return options_fail(error,
				    "the kernel parameters are too long; write %zu bytes or less",
				    sizeof(boot->params) - 1);
	if (space)
		boot->params[used++] = ' ';
	memcpy(boot->params + used, text, len + 1);
	return 0;
}

bool config_params_before(struct vm_boot *boot, const char *text)
{
	char own[VM_PARAMS_SIZE];

	memcpy(own, boot->params, sizeof(own));
	int len = snprintf(boot->params, sizeof(boot->params), "%s%s%s", text,
			   text[0] && own[0] ? " " : "", own);
	return len < (int)sizeof(boot->params);
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_boot *boot = &((struct vm_config *)ctx)->boot;
	switch (id) {
	case INITRD:
		return config_file(&boot->initrd, "initrd", value, error);
	case PARAMS:
		return add_params(boot, value, error);
	case NODEFAULTS:
		boot->nodefaults = true;
		return 0;
	case RESTORE:
		return set_restore(boot, value, error);
	case RESTORE_ALL:
		boot->restore_all = true;
		return set_restore(boot, value, error);
	case RESUME:
		boot->resume = true;
		return 0;
	case DUMP_DTB:
		return config_file(&boot->dump_dtb, "device tree", value, error);
	default: /* KERNEL, or a word without an option */
		return set_kernel(boot, value, error);
	}
}

static int check(void *ctx, struct option_error *error)
{
	struct vm_config *config = ctx;
	const struct vm_boot *boot = &config->boot;
	if (boot->restore && (boot->kernel || boot->initrd || boot->params[0] || boot->dump_dtb))
		return options_fail(error, "a restored guest has booted already: leave out the "
					   "kernel, -i, -p and --dump-dtb");
	if (boot->resume && !boot->restore)
		return options_fail(error, "--resume is for a guest that is restored: name its "
					   "snapshot with --restore");
	if (boot->kernel || boot->restore)
		return 0;
	if (config->disks.count == 0 && !config->disks.image)
		config->disks.image = VM_IMAGE_DEFAULT;
	if (config->boot.initrd)
		return options_fail(
			error, "an initrd is given, but no kernel; name the kernel with -k FILE");
	return 0;
}

const struct option_group config_boot = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.check = check,
};
