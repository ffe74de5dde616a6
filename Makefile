# SPDX-License-Identifier: Apache-2.0
# weir: `make run` serves a model, `make test` proves it, `make help` names the rest.

VERSION  := 0.1.0
BUILD    ?= build
SANITIZE ?=
MODEL    ?= $(shell models/fetch-default-model --path)
PORT     ?= 8080
PREFIX   ?= /usr
SYSCONFDIR ?= /etc
SECONDS_EACH ?= 60
MINUTES  ?= 60

FLOORS   := daemon batching policy models kernels base
PACKAGES := libevent libevent_openssl libnghttp2 openssl jansson libcyaml yaml-0.1 libpcre2-8 libxxhash sqlite3 libcurl hiredis
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-format-truncation -Wno-unknown-warning-option
CPPFLAGS += -I. -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
OPTIMIZE ?= -O2 -g
CFLAGS   += -std=c11 $(OPTIMIZE) $(WARNINGS) -fno-omit-frame-pointer -ffp-contract=off -pthread -MMD -MP
LDFLAGS  += -pthread -rdynamic -Wl,--build-id
LDLIBS   += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm
ifeq ($(SANITIZE),)
LDLIBS   += -ljemalloc
else
CPPFLAGS += -DWEIR_SANITIZED
CFLAGS   += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDFLAGS  += -fsanitize=$(SANITIZE)
endif

folders   = $(1) $(wildcard $(1)/cpu $(1)/roofline $(1)/arch $(1)/http $(1)/api $(1)/profile $(1)/commands $(1)/access $(1)/license $(1)/render $(1)/users $(1)/alerts $(1)/fleet $(1)/report)
objects   = $(patsubst %.c,$(BUILD)/%.o,$(filter-out daemon/main.c,$(wildcard $(addsuffix /*.c,$(call folders,$(1))))))
ARCHIVES := $(FLOORS:%=$(BUILD)/lib%.a)
UNITS    := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/*/*_test.c))
ifeq ($(SANITIZE),thread)
# The test that replaces malloc cannot, where TSan has.
UNITS    := $(filter-out %/http_memory_test,$(UNITS))
endif
BENCHES  := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
FUZZERS  := $(patsubst tests/fuzz/%_fuzz.c,fuzz-%,$(wildcard tests/fuzz/*_fuzz.c))

.PHONY: all deps deps-test model run test unit e2e soak lint bench asan tsan fuzz $(FUZZERS) install release deb deploy-test image clean help
.SECONDARY:
.SECONDEXPANSION:
all: $(BUILD)/weir

$(foreach floor,$(FLOORS),$(eval $(BUILD)/lib$(floor).a: $(call objects,$(floor))))
$(BUILD)/lib%.a:
	@mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

# What an instruction set needs is said here alone; the code asks the processor before it calls.
%_avx2.o: CFLAGS += -mavx2 -mfma -mf16c -O3
%_avx512.o: CFLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c -O3
# AVX-512 sources run by emulation: only results count, and optimising or instrumenting takes minutes.
%_emulated_avx2.o: CFLAGS += -O1 -g0 -Wno-psabi -fno-sanitize=all

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<" && $(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/weir: $(BUILD)/daemon/main.o $(ARCHIVES)
	@echo "  LINK $@" && $(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)

include kernels/cuda/cuda.mk

# The other .c files of a test folder are helpers of all its tests; a double there wins over a floor.
doubles = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_test.c,$(wildcard tests/unit/$(1)*.c)))
$(BUILD)/unit/%_test: $(BUILD)/tests/unit/%_test.o $$(call doubles,$$(dir $$*)) $(ARCHIVES)
	@mkdir -p $(@D) && echo "  LINK $@" && $(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS) -lcmocka
$(BUILD)/golden/% $(BUILD)/bench/%: $(BUILD)/tests/$$(notdir $$(@D))/%.o $(ARCHIVES)
	@mkdir -p $(@D) && echo "  LINK $@" && $(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)

deps:
	@tests/install-deps build
deps-test:
	@tests/install-deps build test
build/venv/.ready: tests/requirements.txt tests/install-deps
	@tests/install-deps venv
model: deps
	@models/fetch-default-model

run: deps $(if $(filter default file,$(origin MODEL)),model)
	@$(MAKE) --no-print-directory $(BUILD)/weir
	@exec $(BUILD)/weir serve --model "$(MODEL)" --port $(PORT)

test: deps-test build/venv/.ready model
	@$(MAKE) --no-print-directory all unit e2e
unit: $(UNITS)
	@WEIR_TEST_MODEL="$(MODEL)" tests/run-units $(UNITS)
e2e: $(BUILD)/weir $(BUILD)/weir-cuda-emulated.so $(BUILD)/golden/perplexity_check
	@WEIR_BUILD="$(BUILD)" WEIR_TEST_MODEL="$(MODEL)" build/venv/bin/pytest -q tests/e2e $(E2E)

soak: $(BUILD)/weir build/venv/.ready model
	@WEIR_BUILD="$(BUILD)" WEIR_TEST_MODEL="$(MODEL)" build/venv/bin/python tests/e2e/soak.py --minutes $(MINUTES)

lint: deps-test
	@$(MAKE) --no-print-directory all
	@tests/lint/lint "$(BUILD)"

asan: SANITIZERS := address,undefined
tsan: SANITIZERS := thread
asan tsan: deps-test build/venv/.ready model
	@$(MAKE) --no-print-directory BUILD=build/$@ OPTIMIZE='-O1 -g' SANITIZE=$(SANITIZERS) E2E='-m "not slow"' all unit e2e

# Fuzzers are built by clang, with every floor instrumented.
$(FUZZERS): fuzz-%: deps-test
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang OPTIMIZE='-O1 -g' \
	  SANITIZE=address,undefined,fuzzer-no-link build/fuzz/fuzzer/$*
	@mkdir -p build/fuzz/found/$* build/fuzz/corpus/$*
	build/fuzz/fuzzer/$* -max_total_time=$(SECONDS_EACH) -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
	  -artifact_prefix=build/fuzz/found/$*/ build/fuzz/corpus/$* $(wildcard tests/fuzz/corpus/$*)
$(BUILD)/fuzzer/%: $(BUILD)/tests/fuzz/%_fuzz.o $(ARCHIVES)
	@mkdir -p $(@D) && echo "  LINK $@" && $(CC) $(LDFLAGS) -fsanitize=fuzzer $^ -o $@ $(LDLIBS)
fuzz: $(FUZZERS)

bench: deps-test build/venv/.ready model
	@$(MAKE) --no-print-directory all $(BENCHES)
	@WEIR_TEST_MODEL="$(MODEL)" build/venv/bin/python tests/bench/run.py
	@WEIR_TEST_MODEL="$(MODEL)" build/venv/bin/python tests/bench/http_peer.py
	@if command -v perf >/dev/null; then build/venv/bin/python tests/bench/completion_cost.py; \
	  else echo 'completion_cost.py is left out: it wants perf (linux-perf)'; fi

install: $(BUILD)/weir cuda
	@DESTDIR="$(DESTDIR)" systemd/package/install $(BUILD)/weir "$(PREFIX)" "$(SYSCONFDIR)"
# What is shipped: hardened, and the same bytes in whatever folder it was built. A cast to void does
# not satisfy gcc where the library, hardened, wants a result looked at.
release:
	@CPPFLAGS=-D_FORTIFY_SOURCE=2 LDFLAGS='-Wl,-z,relro,-z,now' $(MAKE) --no-print-directory \
	  BUILD=build/release OPTIMIZE='-O2 -g -fstack-protector-strong -fstack-clash-protection -fcf-protection \
	  -Wno-unused-result -ffile-prefix-map=$(CURDIR)=.' build/release/weir cuda
deb:
	@tests/install-deps build package
	@$(MAKE) --no-print-directory release
	@systemd/package/deb build/release/weir $(VERSION) build/packages
# Boots a real systemd that installs the package, builds the image and runs it: minutes, as root.
deploy-test: deb model
	@tests/install-deps deploy
	@systemd/package/deb build/release/weir $(VERSION)+newer build/packages
	@lintian --fail-on error,warning build/packages/weir_$(VERSION)_*.deb
	@tests/deploy/nspawn.sh build/packages/weir_$(VERSION)_*.deb build/packages/weir_$(VERSION)+newer_*.deb "$(MODEL)"
	@tests/deploy/image.sh "$(MODEL)"
image:
	buildah build --format docker --tag weir:$(VERSION) --file docker/Dockerfile .
clean:
	rm -rf build
help:
	@echo 'make run [MODEL=path] [PORT=8080]   build and serve a model on 127.0.0.1'
	@echo 'make test                           unit and end-to-end tests'
	@echo 'make lint | asan | tsan             style rules; the tests under sanitizers'
	@echo 'make fuzz-PARSER [SECONDS_EACH=60]  one of: $(FUZZERS:fuzz-%=%)'
	@echo 'make soak [MINUTES=60]              everything at once for so long: nothing may grow'
	@echo 'make bench                          throughput beside llama.cpp, as ratios'
	@echo 'make cuda | cuda-check              the plug-in for GPUs, by nvcc; its kernels held to a budget'
	@echo 'make mutants | cuda-matrix          faults put into kernels; their tests in every build and order'
	@echo 'make install [DESTDIR=] [PREFIX=]   binary, manual, licences, examples, systemd units'
	@echo 'make deb                            a Debian package, in build/packages'
	@echo 'make deploy-test                    package and image, run for real; root, minutes'
	@echo 'make image                          a container image, by buildah'
	@echo 'make deps | clean                   what Debian packages are missing; forget the build'

-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)
