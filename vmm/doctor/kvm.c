// SPDX-License-Identifier: Apache-2.0
/* Checks that the host has KVM, and that it can run a Linux guest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/doctor/doctor.h"

/* Returns whether @word is a word of the first line "flags". */
static bool has_flag(const char *cpuinfo, const char *word)
{
	const char *flags = strstr(cpuinfo, "flags\t");
	size_t len = strlen(word);
	const char *end = flags ? flags + strcspn(flags, "\n") : NULL;
	for (const char *at = flags; at && (at = strstr(at, word)) && at < end; at += len)
		if (at[-1] == ' ' && (at[len] == ' ' || at[len] == '\n' || at[len] == '\0'))
			return true;
	return false;
}

static bool has_module(const struct doctor_host *host, const char *name)
{
	char path[64];
	char state[32];
	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	if (doctor_read(host, path, state, sizeof(state)))
		return true;
	/* A built-in module has no state, only parameters. */
	snprintf(path, sizeof(path), "/sys/module/%s/parameters/nested", name);
	return doctor_read(host, path, state, sizeof(state));
}

static void look_at_opening(struct findings *findings, const struct doctor_host *host)
{
	int error = host->kvm.error;
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		finding_add(findings, FINDING_FAIL, "/dev/kvm", "no guest can run",
			    host->x86 ? "modprobe kvm_intel || modprobe kvm_amd "
					"(if both fail, enable virtualization in the firmware)"
				      : "modprobe kvm (if the processor and the kernel support it)",
			    "no KVM: %s", strerror(error));
		break;
	case EACCES:
	case EPERM:
		finding_add(findings, FINDING_FAIL, "/dev/kvm", "you cannot run guests",
			    "usermod -aG kvm USER (as root; then log in again)",
			    "you have no permission to open it");
		break;
	case ENOTTY:
		finding_add(findings, FINDING_FAIL, "/dev/kvm", "no guest can run",
			    "umount /dev/kvm || { rm /dev/kvm; mknod -m 660 /dev/kvm c 10 232; }",
			    "is not KVM's device: another file is in its place");
		break;
	default:
		finding_add(findings, FINDING_FAIL, "/dev/kvm", "no guest can run", NULL,
			    "cannot be opened: %s", strerror(error));
	}
}

/* tests/host/kvm-kind decides by the same rules. */
static void look_at_kind(struct findings *findings, const struct doctor_host *host)
{
	char cpuinfo[DOCTOR_FILE_MAX];
	if (!host->x86) {
		finding_add(findings, FINDING_OK, "processor", "it runs guests itself", NULL,
			    "supports virtualization, since there is a KVM (not x86)");
		return;
	}
	doctor_read(host, "/proc/cpuinfo", cpuinfo, sizeof(cpuinfo));
	bool svm = has_flag(cpuinfo, "svm");
	bool vmx = has_flag(cpuinfo, "vmx");
	if (!svm && !vmx) {
		finding_add(findings, FINDING_FAIL, "processor",
			    "this KVM interprets a guest's kernel, and no Linux guest boots on it",
			    "use a physical machine, or a virtual one with nested virtualization",
			    "does not virtualize (neither svm nor vmx in /proc/cpuinfo)");
		return;
	}
	const char *module = svm ? "kvm_amd" : "kvm_intel";
	if (has_module(host, module))
		finding_add(findings, FINDING_OK, "processor", "it runs guests itself", NULL,
			    "supports virtualization (%s), and %s is loaded", svm ? "svm" : "vmx",
			    module);
	else
		finding_add(findings, FINDING_WARN, "processor",
			    "Linux guests may or may not boot with the module that provides KVM",
			    NULL, "supports virtualization (%s), but KVM is not from %s",
			    svm ? "svm" : "vmx", module);
}

static void look_at_abilities(struct findings *findings, const struct vm_probe *kvm)
{
	unsigned int missing = 0;
	if (kvm->version != kvm->version_wanted)
		finding_add(findings, FINDING_FAIL, "KVM's API", "ebb cannot use this version",
			    "use a newer kernel", "version %d, not %d", kvm->version,
			    kvm->version_wanted);
	else
		finding_add(findings, FINDING_OK, "KVM's API", "the version that ebb uses", NULL,
			    "version %d", kvm->version);
	for (unsigned int i = 0; i < kvm->needs; i++) {
		if (kvm->need[i].there)
			continue;
		missing++;
		finding_add(findings, FINDING_FAIL, "KVM", "ebb needs this capability",
			    "use a newer kernel", "lacks %s", kvm->need[i].name);
	}
	if (missing == 0)
		finding_add(findings, FINDING_OK, "KVM", "it is complete", NULL,
			    "has the %u capabilities that ebb needs; %u CPUs at most in a guest",
			    kvm->needs, kvm->cpus_max);
}

void doctor_kvm(struct findings *findings, const struct doctor_host *host)
{
	if (host->kvm.error) {
		look_at_opening(findings, host);
		return;
	}
	finding_add(findings, FINDING_OK, "/dev/kvm", "you may use KVM", NULL,
		    "opens for reading and writing");
	look_at_kind(findings, host);
	look_at_abilities(findings, &host->kvm);
}
