# SPDX-License-Identifier: Apache-2.0
# weir: `make run` serves a model, `make test` proves it. `make help` names the rest.

BUILD    ?= build
SANITIZE ?=
CC       ?= gcc
MODEL    ?=
PORT     ?= 8080
FLOORS   := daemon batching policy models kernels base
PACKAGES := libevent libevent_openssl libnghttp2 openssl jansson libcyaml libpcre2-8 libxxhash
VERSION  := 0.1.0

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-format-truncation
CPPFLAGS += -I. -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
CFLAGS   ?= -O2 -g
CFLAGS   += -std=c11 $(WARNINGS) -fno-omit-frame-pointer -ffp-contract=off -pthread -MMD -MP
LDFLAGS  += -pthread
LDLIBS   += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lhttp_parser -lm
ifdef SANITIZE
CFLAGS   += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDFLAGS  += -fsanitize=$(SANITIZE)
else
LDLIBS   += -ljemalloc
endif

folders   = $(1) $(wildcard $(1)/cpu $(1)/arch $(1)/http $(1)/api)
objects   = $(patsubst %.c,$(BUILD)/%.o,$(filter-out daemon/main.c,$(wildcard $(addsuffix /*.c,$(call folders,$(1))))))
ARCHIVES := $(FLOORS:%=$(BUILD)/lib%.a)
UNITS    := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/*/*_test.c))
FUZZERS  := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))

.PHONY: all deps run test unit e2e lint bench asan ubsan tsan install image clean help
.SECONDARY:
all: $(BUILD)/weir

$(foreach floor,$(FLOORS),$(eval $(BUILD)/lib$(floor).a: $(call objects,$(floor))))
$(BUILD)/lib%.a:
	@rm -f $@ && $(AR) rcs $@ $^

# What the instruction sets need is said here alone; the code asks the processor before it calls.
%_avx2.o: CFLAGS += -mavx2 -mfma -mf16c -O3
%_avx512.o: CFLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c -O3

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/weir: $(BUILD)/daemon/main.o $(ARCHIVES)
	$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)

# The other .c files of a test folder are helpers of all its tests; a double there wins over a floor.
.SECONDEXPANSION:
doubles = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_test.c,$(wildcard tests/unit/$(1)*.c)))
$(BUILD)/unit/%_test: $(BUILD)/tests/unit/%_test.o $$(call doubles,$$(dir $$*)) $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS) -lcmocka

unit: $(UNITS)
	@tests/run-units $(UNITS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
