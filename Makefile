# SPDX-License-Identifier: Apache-2.0
# Every command a person types. `make help` lists them. CROSS=arm64 or riscv64 is for another architecture than
# this machine's: its ebb is in build/$(CROSS), its guests' kernels are in build/guest/$(CROSS).

NATIVE := $(shell scripts/arch name)
ARCH   := $(or $(CROSS),$(NATIVE))
FOREIGN := $(filter-out $(NATIVE),$(ARCH))

CC      ?= gcc
BUILD   := build
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS  ?= -O2 -g
EBB_CFLAGS := -std=gnu11 -D_GNU_SOURCE -I. -pthread -fstack-protector-strong $(WARN)
EBB_LDFLAGS := -pthread -Wl,-z,relro,-z,now
PKG_CONFIG := pkg-config
# Asked for when something is linked: `make check` installs them first, in the same run.
# What only few guests need is linked into ebb: to load it as a library would make each start slower.
LIBRARIES_SHARED := jansson libcap-ng
LIBRARIES_STATIC := ext2fs com_err libseccomp liburing ncursesw
LIBRARIES := $(LIBRARIES_SHARED) $(LIBRARIES_STATIC)
LDLIBS = $(shell $(PKG_CONFIG) --libs $(LIBRARIES_SHARED)) -Wl,-Bstatic $(shell $(PKG_CONFIG) --libs $(LIBRARIES_STATIC)) -Wl,-Bdynamic $(FDT_LIBS)

# In Debian 12 virtiofsd comes with QEMU.
VIRTIOFSD := $(if $(filter bookworm,$(shell . /etc/os-release && echo $$VERSION_CODENAME)),qemu-system-common,virtiofsd)

# Debian packages, by what they are for; installed when they are missing, by the target that needs them.
PACKAGES_BUILD := comerr-dev gcc libc6-dev libcap-ng-dev libext2fs-dev libjansson-dev libncurses-dev libseccomp-dev liburing-dev make pkg-config python3
PACKAGES_GUEST := bc bison busybox-static cpio flex libelf-dev musl-tools patch xz-utils
PACKAGES_IMAGE := e2fsprogs fakechroot fakeroot mmdebstrap
PACKAGES_HOST  := busybox-static cpio python3 qemu-system-x86 xz-utils zstd
PACKAGES_BENCH := e2fsprogs iproute2 passt $(VIRTIOFSD)
PACKAGES_DEMO  := gnuplot-nox python3
PACKAGES_CHECK := acpica-tools binutils check clang-format cppcheck device-tree-compiler e2fsprogs fdisk git libasan8 libfdt-dev libubsan1 perl \
		  man-db mandoc openssh-client passt pkg-config qemu-system-common qemu-utils $(VIRTIOFSD) python3-prometheus-client python3-pyflakes python3-pyte python3-pytest shellcheck socat xorriso zlib1g-dev zsh

PACKAGES_FUZZ  := clang libclang-rt-dev llvm python3
PACKAGES_AFL   := afl++

PACKAGES_CROSS_arm64 := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm qemu-user-static
PACKAGES_CROSS_riscv64 := gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-system-misc qemu-user-static
PACKAGES_CROSS := pkg-config $(PACKAGES_CROSS_$(FOREIGN))
# The architectures that `make check` tests beside this machine's own.
CROSS_ARCHS := $(filter-out $(NATIVE),arm64 riscv64)
# These are not installed, but unpacked for the other architecture into the cache: see scripts/debian-unpack.
PACKAGES_SYSROOT := check comerr-dev libatomic1 libc6-dev libcap-ng-dev libext2fs-dev libfdt-dev libjansson-dev libncurses-dev libseccomp-dev \
		    libsubunit-dev liburing-dev linux-libc-dev usr-is-merged zlib1g-dev

ifneq ($(FOREIGN),)
# Emulated, a test takes longer than tests/unit/main.c allows.
CHECK_ENV := CK_DEFAULT_TIMEOUT=600
export CROSS
GNU     := $(shell scripts/arch gnu $(ARCH))
CC      := $(GNU)-gcc
BUILD   := build/$(ARCH)
SYSROOT := $(BUILD)/sysroot
# Before those that come with Debian's cross compiler, which may be older than the libraries. And not static: the
# objects of Debian 13's libc.a for riscv64 are more than the linkers of Debian 12 know.
EBB_CFLAGS += --sysroot=$(SYSROOT) -isystem $(SYSROOT)/usr/include/$(GNU) -isystem $(SYSROOT)/usr/include
EBB_LDFLAGS += --sysroot=$(SYSROOT) -L$(SYSROOT)/usr/lib/$(GNU)
PKG_CONFIG := PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(GNU)/pkgconfig pkg-config
EMULATE := qemu-$(shell scripts/arch uname $(ARCH))-static -L $(SYSROOT)
# Of the unit tests, the suites that need a kernel of that architecture, for its calls of memory and files that QEMU's
# user mode does not have, or since it adds a line of its own when a process dies: a whole machine, which is slower.
UNIT_WHOLE := backend backing blk blk_flight blk_served blk_threads confine discard fatal fs passt present private_file provision ram refused ring sandbox session session_late signals storage storage_confine torn usage vhost_user virtiofsd view
EMULATE_WHOLE := tests/host/run --arch $(ARCH) --timeout 1800 --append hugepages=64 --env $(CHECK_ENV)
endif

# What the architectures with a device tree share. The others link none of it, but for their tests.
FDT_SRC := $(wildcard vmm/arch/fdt/*.c)
FDT_LIBS := -lfdt -lz
ifeq ($(ARCH),x86_64)
FDT_SRC :=
FDT_LIBS :=
endif

# A program of its own, which runs while ebb is built.
FILTER_SRC := vmm/sandbox/compile.c vmm/sandbox/calls.c vmm/sandbox/shorten.c

# Everything but main.c can be linked into a test.
LIB_SRC := $(filter-out vmm/main.c $(FILTER_SRC) vmm/arch/%,$(sort $(shell find vmm devices -name '*.c'))) \
	   $(wildcard vmm/arch/*.c vmm/arch/$(ARCH)/*.c) $(FDT_SRC)
# What is pure in other architectures is tested on this one too.
UNIT_ARCH_SRC := $(filter-out $(LIB_SRC) vmm/arch/fdt/machine.c,$(wildcard vmm/arch/fdt/*.c vmm/arch/*/tree.c vmm/arch/*/plic.c vmm/arch/*/sbi.c)) vmm/sandbox/calls.c vmm/sandbox/shorten.c
UNIT_LIBS := -lfdt -lz
# Allocations that a test can let fail: tests/unit/failing.c. And an io_uring that is none: tests/unit/fake_ring.c.
UNIT_WRAP := -Wl,--wrap=_mark_point,--wrap=ioctl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strndup \
	     $(foreach call,open close set_bell quiet add submit take wait,-Wl,--wrap=ring_$(call))
EBB_SRC := vmm/main.c $(LIB_SRC)
UNIT_SRC := $(wildcard tests/unit/*.c tests/unit/$(ARCH)/*.c)

obj = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(2))

.PHONY: all man install install-guest uninstall help guest image demo demo-quick check check-all packages test cross-check unit unit-whole tsan fuzz fuzz-build fuzz-coverage prove cli payload payloads \
	e2e lint host-shell bench-boot bench-discard bench-archs bench-guest bench-seeds bench-scale bench-keeper bench-pressure bench-clones bench-cold bench-density bench-devices overcommit overcommit-all overcommit-keeper peers soak clean
.DELETE_ON_ERROR:

all: $(BUILD)/ebb ## build ebb (the default)

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

# --- what a person runs ------------------------------------------------------------------------

# These install what they need first; what needs compilers is therefore built by a second make.
need = @scripts/install-packages $(sort $(foreach set,$(1) $(FOREIGN:%=CROSS),$(PACKAGES_$(set))))

demo: ## see a guest give its memory back, with a control run in which it does not
	$(call need,BUILD GUEST HOST DEMO)
	@+$(MAKE) --no-print-directory all
	@guest/build initramfs
	@scripts/demo

demo-quick: ## the same without our kernel, which has to be built
	$(call need,BUILD GUEST HOST DEMO)
	@+$(MAKE) --no-print-directory all
	@guest/build initramfs
	@scripts/demo --quick

check: ## install what is missing, build all, run every test
	$(call need,BUILD GUEST IMAGE HOST DEMO CHECK FUZZ $(CROSS_ARCHS:%=CROSS_%))
	@+CROSS_ARCHS="$(CROSS_ARCHS)" tests/check

check-all: ## make check, and then what takes hours: every soak, kernels with larger pages, Debian's own, KASAN, all scenarios
	$(call need,BUILD GUEST IMAGE HOST DEMO CHECK FUZZ $(CROSS_ARCHS:%=CROSS_%))
	@+CROSS_ARCHS="$(CROSS_ARCHS)" tests/check all

packages: ## install what `make` and `make test` need
	$(call need,BUILD CHECK)

test: ## while one works: unit, cli, lint; needs no root, no network, no kernel
	@command -v python3 >/dev/null || { echo "ebb: there is no python3: 'make packages' installs Debian's" >&2; exit 1; }
	@+tests/check test

cross-check: ## with CROSS=NAME: what `make check` does for another architecture, and its kernels with larger pages
	@test -n "$(FOREIGN)" || { echo "ebb: for which other architecture? make cross-check CROSS=arm64 or riscv64" >&2; exit 1; }
	$(call need,BUILD GUEST HOST CHECK)
	@+$(MAKE) --no-print-directory all
	@guest/build initramfs patched $(if $(filter arm64,$(ARCH)),64k 16k)
	@guest/distribution kernel $(ARCH)
	@+$(MAKE) --no-print-directory unit
	@+$(MAKE) --no-print-directory unit-whole
	@tests/host/selftest --arch $(ARCH)
	@tests/e2e/run --arch $(ARCH)
	@$(if $(filter arm64,$(ARCH)),echo "and on hosts with pages of 64 KiB"; \
		EBB_E2E_HOST="--kernel $(CURDIR)/build/guest/$(ARCH)/64k/Image" tests/e2e/run --arch $(ARCH))

guest: ## build the guest's kernel and initramfs (KERNEL_SRC=DIR for another kernel tree)
	$(call need,BUILD GUEST)
	@guest/build

image: ## build the Debian image that guests with a disk start from
	$(call need,BUILD GUEST IMAGE)
	@guest/image

host-shell: ## a shell on an emulated host that has KVM
	$(call need,HOST)
	@tests/host/shell

bench-boot: ## start to init, private memory and threads, beside QEMU's microvm
	$(call need,BUILD GUEST HOST DEMO)
	@+$(MAKE) --no-print-directory all
	@guest/build
	@tests/bench/boot

bench-discard: ## memory given back per second, beside QEMU's microvm and the limit
	$(call need,BUILD HOST)
	@+$(MAKE) --no-print-directory all $(BUILD)/tests/bench/discard_limit
	@+$(MAKE) --no-print-directory -C tests/payload BUILD=$(abspath $(BUILD)) all
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/discard

bench-guest: ## what guest kernels do with memory that comes and goes: stock and patched, beside QEMU's microvm
	$(call need,BUILD GUEST HOST)
	@+$(MAKE) --no-print-directory all
	@guest/build
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/guest

bench-archs: ## start and reclaim on every architecture, in one table
	$(call need,BUILD GUEST HOST $(CROSS_ARCHS:%=CROSS_%))
	@+for arch in "" $(CROSS_ARCHS); do \
		$(MAKE) --no-print-directory CROSS=$$arch all && CROSS=$$arch guest/build initramfs patched || exit; \
	done
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/archs

bench-seeds: ## the tables that free page reporting was published with, again, beside the published figures
	$(call need,BUILD GUEST HOST)
	@+$(MAKE) --no-print-directory all
	@guest/build initramfs kernel noreporting
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/seeds

bench-scale: ## what 1 to 64 idle guests cost one host, and how long commands take, beside QEMU's microvm
	$(call need,BUILD GUEST HOST)
	@+$(MAKE) --no-print-directory all
	@guest/build
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/scale

bench-keeper: ## what the keeper's policy costs with up to 10,000 guests
	$(call need,BUILD HOST)
	@+$(MAKE) --no-print-directory $(BUILD)/tests/bench/keeper
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/keeper

bench-pressure: ## how soon a host has memory again when a program takes all, with a keeper and without
	$(call need,BUILD GUEST HOST)
	@+$(MAKE) --no-print-directory all
	@guest/build
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/pressure

bench-clones: ## what 1 to 100 guests from one snapshot cost, and how soon they answer
	$(call need,BUILD GUEST HOST)
	@+$(MAKE) --no-print-directory all
	@guest/build
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/clones

bench-cold: ## how soon a guest answers that is restored from a disk which the host has not read, with a working set and without
	$(call need,BUILD GUEST HOST)
	@+$(MAKE) --no-print-directory all
	@guest/build initramfs patched
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/cold

bench-density: ## what guests cost that read one image as a disk, by a folder, and as memory
	$(call need,BUILD GUEST HOST BENCH)
	@+$(MAKE) --no-print-directory all
	@guest/build initramfs
	@guest/distribution kernel x86_64 bookworm cloud
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/density

bench-devices: ## disks, networks, own memory, idle wakes and Debian's kernel, beside QEMU's microvm on the same backends
	$(call need,BUILD GUEST HOST BENCH)
	@+$(MAKE) --no-print-directory all
	@guest/build initramfs patched
	@guest/distribution kernel x86_64 bookworm cloud
	@EBB_BUILD=$(abspath $(BUILD)) tests/bench/devices

overcommit: ## guests of 4 GiB on a host of 1.5: what comes back, side by side, as a page with pictures
	$(call need,BUILD GUEST HOST DEMO)
	@+$(MAKE) --no-print-directory all
	@guest/build
	@EBB_BUILD=$(abspath $(BUILD)) tests/overcommit/ebb-overcommit configs/overcommit/quick.toml

overcommit-keeper: ## `ebb keeper` beside reporting alone, and our kernel with both beside neither; where KVM is emulated, counted
	$(call need,BUILD GUEST IMAGE HOST DEMO)
	@+$(MAKE) --no-print-directory all
	@guest/build
	@guest/image
	@count=; [ "$$(tests/host/kvm-kind)" = hardware ] || count=--count; \
	status=0; for name in quick memhog cached pack compile-three; do \
		EBB_BUILD=$(abspath $(BUILD)) tests/overcommit/ebb-overcommit --keeper $$count configs/overcommit/$$name.toml || \
			status=1; \
	done; \
	for file in $$(grep -lF '"keeper"' configs/overcommit/*.toml); do \
		EBB_BUILD=$(abspath $(BUILD)) tests/overcommit/ebb-overcommit $$count $$file || status=1; \
	done; exit $$status

overcommit-all: ## every scenario of configs/overcommit, and again with a keeper what binds one; where KVM is emulated, counted (more than an hour)
	$(call need,BUILD GUEST IMAGE HOST DEMO)
	@+$(MAKE) --no-print-directory all
	@guest/build
	@guest/image
	@count=; [ "$$(tests/host/kvm-kind)" = hardware ] || count=--count; \
	status=0; for file in configs/overcommit/*.toml; do \
		EBB_BUILD=$(abspath $(BUILD)) tests/overcommit/ebb-overcommit $$count $$file || status=1; \
	done; \
	for file in $$(grep -lF '[must.keeper]' configs/overcommit/*.toml | xargs grep -LF '"keeper"'); do \
		EBB_BUILD=$(abspath $(BUILD)) tests/overcommit/ebb-overcommit --keeper $$count $$file || status=1; \
	done; exit $$status

$(BUILD)/tests/bench/keeper: tests/bench/keeper.c tests/unit/keeper_cost.c tests/unit/keeper_cost.h $(addprefix vmm/keeper/,decide.c learn.c marks.c decide.h internal.h) \
		vmm/lib/pace.c $(addprefix vmm/lib/,pace.h clock.h sizes.h)
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(EBB_CFLAGS) -o $@ $(filter %.c,$^)

$(BUILD)/tests/bench/%: tests/bench/%.c tests/bench/discard_patterns.h
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(EBB_CFLAGS) -o $@ $<

# --- ebb ---------------------------------------------------------------------------------------

$(BUILD)/ebb: $(call obj,vmm,$(EBB_SRC))
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $(EBB_LDFLAGS) -o $@ $^ $(LDLIBS)

# A link to what is in the cache, which is there or is made; anew when the list of packages is another.
ifneq ($(FOREIGN),)
ifneq ($(strip $(file <$(SYSROOT).packages)),$(strip $(PACKAGES_SYSROOT)))
.PHONY: $(SYSROOT)
endif
$(SYSROOT):
	@mkdir -p $(@D)
	@root=$$(scripts/debian-unpack $(ARCH) $(PACKAGES_SYSROOT)) && ln -sfn "$$root" $@
	@echo $(PACKAGES_SYSROOT) >$@.packages
endif

# Asked once: one line that helps, instead of many of a compiler's.
$(BUILD)/tools: | $(SYSROOT)
	@mkdir -p $(@D)
	@command -v $(CC) >/dev/null && $(PKG_CONFIG) --exists $(LIBRARIES) || \
		{ echo "ebb: the compiler or a library is missing: 'make packages$(FOREIGN:%= CROSS=%)' installs Debian's" >&2; exit 1; }
	@touch $@

$(BUILD)/vmm/%.o: %.c | $(BUILD)/tools
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(EBB_CFLAGS) -MMD -MP -c -o $@ $<

# filter.c includes what a program that is built first has made: vmm/sandbox/compile.c.
$(BUILD)/made/filters: $(call obj,vmm,$(FILTER_SRC))
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $(EBB_LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/made/programs.h: $(BUILD)/made/filters
	@echo '  GEN   $@'
	@command -v $(or $(firstword $(EMULATE)),true) >/dev/null || \
		{ echo "ebb: there is no $(firstword $(EMULATE)) to run $<; install qemu-user-static" >&2; exit 1; }
	@$(EMULATE) $< >$@

FILTER_OBJ := $(foreach kind,vmm unit,$(BUILD)/$(kind)/vmm/sandbox/filter.o)
$(FILTER_OBJ): $(BUILD)/made/programs.h
$(FILTER_OBJ): EBB_CFLAGS += -I$(BUILD)/made

# --- manual and installation -------------------------------------------------------------------

prefix  = /usr/local
bindir  = $(prefix)/bin
datadir = $(prefix)/share
mandir  = $(datadir)/man
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir  = $(datadir)/zsh/site-functions

# Made from the help of this machine's own ebb: another architecture's does not run here, and its help is the same.
NATIVE_BUILD := $(if $(FOREIGN),build,$(BUILD))
MANUAL := $(patsubst docs/man/%.in,$(NATIVE_BUILD)/manual/%,$(wildcard docs/man/*.in))
COMPLETIONS := $(NATIVE_BUILD)/manual/ebb.bash $(NATIVE_BUILD)/manual/ebb.zsh

ifneq ($(FOREIGN),)
.PHONY: $(NATIVE_BUILD)/ebb
$(NATIVE_BUILD)/ebb:
	@+$(MAKE) --no-print-directory CROSS= $@
endif

$(NATIVE_BUILD)/manual/%.1: docs/man/%.1.in docs/man/kvmtool scripts/manual $(NATIVE_BUILD)/ebb
	@mkdir -p $(@D)
	@echo '  MAN   $@'
	@scripts/manual $(NATIVE_BUILD)/ebb $< > $@

$(COMPLETIONS): $(NATIVE_BUILD)/manual/ebb.%: scripts/manual $(NATIVE_BUILD)/ebb
	@mkdir -p $(@D)
	@echo '  GEN   $@'
	@scripts/manual $(NATIVE_BUILD)/ebb $* > $@

man: $(MANUAL) $(COMPLETIONS) ## build the man pages, and completion for bash and zsh

install: all man ## install ebb, its man pages and completion (prefix=/usr/local, DESTDIR)
	install -D -m 755 $(BUILD)/ebb "$(DESTDIR)$(bindir)/ebb"
	install -d "$(DESTDIR)$(mandir)/man1"
	install -m 644 $(MANUAL) "$(DESTDIR)$(mandir)/man1"
	install -D -m 644 $(NATIVE_BUILD)/manual/ebb.bash "$(DESTDIR)$(bashcompletiondir)/ebb"
	install -D -m 644 $(NATIVE_BUILD)/manual/ebb.zsh "$(DESTDIR)$(zshcompletiondir)/_ebb"

GUEST_BUILD := build/guest$(FOREIGN:%=/%)
guestdir = $(prefix)/lib/ebb

install-guest: ## install the guest that `ebb sandbox` starts, once `make guest` has built it
	install -D -m 644 "$(GUEST_BUILD)/initramfs.cpio" "$(DESTDIR)$(guestdir)/initramfs.cpio"
	install -m 644 "$(GUEST_BUILD)/$(if $(filter x86_64,$(ARCH)),vmlinux,Image)" "$(DESTDIR)$(guestdir)"

uninstall: ## remove what `make install` and `make install-guest` installed
	rm -f "$(DESTDIR)$(bindir)/ebb" $(foreach file,vmlinux Image initramfs.cpio,"$(DESTDIR)$(guestdir)/$(file)") $(foreach page,$(notdir $(MANUAL)),"$(DESTDIR)$(mandir)/man1/$(page)") \
		"$(DESTDIR)$(bashcompletiondir)/ebb" "$(DESTDIR)$(zshcompletiondir)/_ebb"

# --- tests -----------------------------------------------------------------------------------

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
ifneq ($(FOREIGN),)
# QEMU's user mode has no room for ASan's shadow, and not every cross compiler UBSan's library: a trap fails, too.
SANITIZE := -fsanitize=undefined -fsanitize-undefined-trap-on-error -O1
endif

# Each tests/unit/test_NAME.c has one `Suite *NAME_suite(void)`: the runner's table is made of them.
$(BUILD)/unit/suites.h: $(UNIT_SRC)
	@mkdir -p $(@D)
	@printf '%s\n' $(patsubst test_%.c,'SUITE(%)',$(filter test_%.c,$(notdir $^))) > $@

# Only the runner includes it: a test that was changed is compiled by itself.
$(BUILD)/unit/tests/unit/main.o: $(BUILD)/unit/suites.h

$(BUILD)/unit/%.o: %.c | $(BUILD)/tools
	@mkdir -p $(@D)
	@echo '  CC    $< (sanitized)'
	@$(CC) $(CPPFLAGS) -g $(SANITIZE) $(EBB_CFLAGS) -I$(BUILD)/unit -MMD -MP -c -o $@ $<

$(BUILD)/unit/run: $(call obj,unit,$(UNIT_SRC) $(LIB_SRC) $(UNIT_ARCH_SRC))
	@echo '  LINK  $@'
	@$(CC) -g $(SANITIZE) $(EBB_LDFLAGS) $(UNIT_WRAP) -o $@ $^ $(LDLIBS) $(UNIT_LIBS) $$($(PKG_CONFIG) --libs check)

UNIT_SUITES := $(patsubst test_%.c,%,$(filter test_%.c,$(notdir $(UNIT_SRC))))

unit: $(BUILD)/unit/run ## unit tests (Check) under ASan and UBSan; with CROSS under UBSan, emulated
	@$(CHECK_ENV) tests/lib/suites $(EMULATE) $(BUILD)/unit/run -- $(filter-out $(UNIT_WHOLE),$(UNIT_SUITES))

unit-whole: $(BUILD)/unit/run ## with CROSS=NAME: the unit tests that need a kernel of that architecture
	@test -n "$(UNIT_WHOLE)" || { echo "ebb: 'make unit' runs all of this machine's own" >&2; exit 1; }
	@$(EMULATE_WHOLE) tests/lib/suites $(BUILD)/unit/run -- $(UNIT_WHOLE) </dev/null

# What runs on several threads, once more under ThreadSanitizer. A report that does not end the test's
# process would be printed, and the test counted as passed.
TSAN_SUITES := mmio_threads event_idx blk blk_flight blk_served blk_threads fs fs_awaited vhost_user net net_threads vsock vsock_threads balloon inflate reporting stats reclaim reclaim_threads \
	       rebind loop log outlet signals serial console terminal discard dirty_log private_file vcon_threads client client_hostile server control_memory plic worker
TSAN := -fsanitize=thread -O1
# Of the sources only those that these suites need: where one is missing, it does not link.
TSAN_SRC := $(TSAN_SUITES:%=tests/unit/test_%.c) $(filter-out tests/unit/test_% tests/unit/$(ARCH)/% tests/unit/keeper_% tests/unit/config_% tests/unit/fake_chain.c tests/unit/tree.c,$(UNIT_SRC)) \
	    $(filter devices/% vmm/lib/% vmm/mem/% vmm/control/% vmm/console/% vmm/machine/signals.c,$(LIB_SRC)) vmm/arch/riscv64/plic.c

$(BUILD)/tsan/suites.h: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' $(patsubst %,'SUITE(%)',$(TSAN_SUITES)) > $@

$(BUILD)/tsan/tests/unit/main.o: $(BUILD)/tsan/suites.h

$(BUILD)/tsan/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    $< (for threads)'
	@$(CC) $(CPPFLAGS) -g $(TSAN) $(EBB_CFLAGS) -I$(BUILD)/tsan -MMD -MP -c -o $@ $<

$(BUILD)/tsan/run: $(call obj,tsan,$(TSAN_SRC))
	@echo '  LINK  $@'
	@$(CC) -g $(TSAN) $(EBB_LDFLAGS) $(UNIT_WRAP) -o $@ $^ $(LDLIBS) $(UNIT_LIBS) $$($(PKG_CONFIG) --libs check)

tsan: $(BUILD)/tsan/run ## the unit tests with threads, under ThreadSanitizer
	@TSAN_OPTIONS=halt_on_error=1 tests/lib/suites $(BUILD)/tsan/run -- $(TSAN_SUITES)

# --- fuzzing: tests/fuzz/README.md

# Devices, which a guest drives; and what reads files, messages and words.
FUZZ_DEVICES := balloon blk fs net rng vcon vsock
FUZZ_PARSERS := board disk image qmp snapshot words $(if $(filter x86_64,$(ARCH)),kernel)
FUZZ_BUILD := build/fuzz
FUZZ_CC := clang
# Comparisons lead libFuzzer through parsers; in devices they cost a third of the speed, and mutate.c knows more.
FUZZ_EDGES := -fsanitize-coverage=inline-8bit-counters,pc-table
FUZZ_CMP   := -fsanitize-coverage=trace-cmp
FUZZ_SANITIZE := -O2 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_ENGINE := -fsanitize=fuzzer
# The C library's calls that tests/fuzz/host.c does itself.
FUZZ_WRAP := $(foreach call,clock_gettime sendmsg send recv readv accept4 shutdown poll close pread,-Wl,--wrap=$(call))
# An archive: a target is linked with what it uses, in place of which it may have something of its own.
FUZZ_SRC := $(filter devices/% vmm/lib/% vmm/mem/% vmm/config/% vmm/snapshot/%,$(LIB_SRC)) \
	    $(wildcard vmm/arch/fdt/*.c vmm/arch/riscv64/plic.c vmm/arch/packing.c) \
	    $(addprefix vmm/bootdisk/,entries.c partitions.c source.c) \
	    $(addprefix vmm/control/,codec.c dispatch.c guest_stat.c guest_figures.c) \
	    $(if $(filter x86_64,$(ARCH)),$(addprefix vmm/arch/x86_64/,acpi.c aml.c boot.c generation.c image.c initrd.c params.c))

$(FUZZ_BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	@echo '  CLANG $<'
	@$(FUZZ_CC) $(CPPFLAGS) -g $(FUZZ_SANITIZE) $(EBB_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_BUILD)/devices/%.o $(FUZZ_BUILD)/vmm/mem/%.o: FUZZ_CMP :=
$(FUZZ_BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CLANG $<'
	@$(FUZZ_CC) $(CPPFLAGS) -g $(FUZZ_SANITIZE) $(FUZZ_EDGES) $(FUZZ_CMP) $(EBB_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_BUILD)/ebb.a: $(FUZZ_SRC:%.c=$(FUZZ_BUILD)/%.o)
	@echo '  AR    $@'
	@rm -f $@ && ar rc $@ $^

fuzz_objects = $(patsubst %,$(FUZZ_BUILD)/tests/fuzz/%.o,$(1)) $(FUZZ_BUILD)/ebb.a
fuzz_link = @echo '  LINK  $@'; $(FUZZ_CC) -g $(FUZZ_SANITIZE) $(FUZZ_ENGINE) $(EBB_LDFLAGS) $(FUZZ_WRAP) -o $@ $^ $(LDLIBS) $(UNIT_LIBS)

$(FUZZ_DEVICES:%=$(FUZZ_BUILD)/%): $(FUZZ_BUILD)/%: $(call fuzz_objects,target_% guest guest_host guest_memory mutate host)
	$(fuzz_link)
$(FUZZ_PARSERS:%=$(FUZZ_BUILD)/%): $(FUZZ_BUILD)/%: $(call fuzz_objects,target_% boot host)
	$(fuzz_link)

# With a fault that has to be found.
$(FUZZ_BUILD)/tests/fuzz/planted.o: tests/fuzz/target_balloon.c
	@mkdir -p $(@D)
	@echo '  CLANG $< (with a planted fault)'
	@$(FUZZ_CC) $(CPPFLAGS) -DFUZZ_PLANTED -g $(FUZZ_SANITIZE) $(EBB_CFLAGS) -MMD -MP -c -o $@ $<
$(FUZZ_BUILD)/planted: $(call fuzz_objects,planted guest guest_host guest_memory mutate host)
	$(fuzz_link)

FUZZ_TARGETS ?= $(FUZZ_DEVICES) $(FUZZ_PARSERS)
fuzz-build: $(FUZZ_DEVICES:%=$(FUZZ_BUILD)/%) $(FUZZ_PARSERS:%=$(FUZZ_BUILD)/%) $(FUZZ_BUILD)/planted

# FUZZER=afl: AFL++ marks the edges by itself, and drives the same targets.
FUZZ_AFL := $(if $(filter afl,$(FUZZER)),FUZZ_BUILD=build/fuzz-afl FUZZ_CC=afl-clang-fast FUZZ_EDGES= FUZZ_CMP=)
fuzz: ## fuzz for FUZZ_MINUTES (10), all or FUZZ_TARGETS="balloon qmp …", until something breaks; FUZZER=afl: by AFL++
	$(call need,BUILD CHECK FUZZ $(if $(FUZZ_AFL),AFL))
	@+$(MAKE) --no-print-directory fuzz-build $(FUZZ_AFL)
	@tests/fuzz/run $(if $(FUZZ_AFL),--afl) --minutes "$(or $(FUZZ_MINUTES),10)" $(FUZZ_TARGETS)

fuzz-coverage: ## which lines of the devices and parsers the inputs found so far do not reach
	$(call need,BUILD CHECK FUZZ)
	@+$(MAKE) --no-print-directory fuzz-build FUZZ_BUILD=build/fuzz-coverage FUZZ_EDGES= FUZZ_CMP= \
		FUZZ_SANITIZE="-O1 -fprofile-instr-generate -fcoverage-mapping"
	@tests/fuzz/run --coverage $(FUZZ_TARGETS)

prove: ## prove by CBMC what pure parts promise: tests/prove/README.md
	@tests/prove/run

# ebb on a host that is short of memory: see tests/short/short.c.
$(BUILD)/tests/short: tests/short/short.c $(call obj,vmm,$(EBB_SRC))
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(EBB_CFLAGS) $(EBB_LDFLAGS) -Wl,--wrap=keeper_source_open,--wrap=keeper_host_trigger,--wrap=keeper_host_pause -o $@ $^ $(LDLIBS)

cli: all $(BUILD)/tests/short ## the subcommands, against guests that are none
	@tests/cli/run

payload: all $(BUILD)/tests/hang $(BUILD)/tests/attack ## tiny guests on this machine's own KVM
	@+$(MAKE) --no-print-directory -C tests/payload BUILD=$(abspath $(BUILD)) check

payloads:
	@+$(MAKE) --no-print-directory -C tests/payload BUILD=$(abspath $(BUILD)) all

# ebb with a device that lies to its guest: see tests/liar/liar.c.
$(BUILD)/tests/liar: tests/liar/liar.c $(call obj,vmm,$(EBB_SRC))
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(EBB_CFLAGS) $(EBB_LDFLAGS) -Wl,--wrap=virtq_push -o $@ $^ $(LDLIBS)

# ebb on a host that hangs: see tests/hang/hang.c.
$(BUILD)/tests/hang: tests/hang/hang.c $(call obj,vmm,$(EBB_SRC))
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(EBB_CFLAGS) $(EBB_LDFLAGS) -Wl,--wrap=fstat,--wrap=pwritev,--wrap=ram_usage,--wrap=ring_take,--wrap=ram_discard,--wrap=balloon_on_reclaimed -o $@ $^ $(LDLIBS)

# ebb that a guest has taken over: see tests/attack/attack.c.
$(BUILD)/tests/attack: tests/attack/attack.c tests/attack/ioctls.c $(call obj,vmm,$(EBB_SRC))
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(EBB_CFLAGS) $(EBB_LDFLAGS) -Wl,--wrap=loop_run,--wrap=vcpu_run,--wrap=fatal_name,--wrap=pthread_self,--wrap=confine_self,--wrap=filter_load,--wrap=paths_restrict,--wrap=packing_told,--wrap=snapshot_open -o $@ $^ $(LDLIBS)

e2e: all payloads $(BUILD)/tests/liar $(BUILD)/tests/hang $(BUILD)/tests/attack ## Linux guests, on hardware KVM or on the emulated host
	@guest/distribution kernel $(ARCH)
	@$(if $(filter x86_64,$(ARCH)),guest/distribution disk)
	@tests/e2e/run

peers: ## with KVM_UNIT_TESTS=DIR: kvm-unit-tests, of which DIR is a checkout, under ebb on arm64 and riscv64 hosts
	@test -n "$(KVM_UNIT_TESTS)" || { echo "ebb: where are kvm-unit-tests? make peers KVM_UNIT_TESTS=DIR" >&2; exit 1; }
	$(call need,BUILD HOST $(CROSS_ARCHS:%=CROSS_%))
	@+for arch in arm64 riscv64; do $(MAKE) --no-print-directory CROSS=$$arch all || exit; done
	@tests/peers/run "$(KVM_UNIT_TESTS)"

soak: ## everything that moves a guest's memory at once, on every kernel (SOAK_MINUTES, 20)
	$(call need,BUILD GUEST HOST DEMO CHECK)
	@+$(MAKE) --no-print-directory all
	@tests/soak/run

lint: all ## which room may include which, layout, static analysis, scripts
	@tests/lint/run

clean: ## remove what was built in this tree (the cache outside it stays)
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
