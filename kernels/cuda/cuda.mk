# SPDX-License-Identifier: Apache-2.0
# The GPU's kernels, built twice from the same sources: by nvcc into the plug-in weir-cuda.so, and
# by g++ over tests/emulator, for tests. Included by the Makefile; nothing here is needed to build weir.
#
#     make cuda         build/weir-cuda.so, where there is nvcc; one line says so where there is none
#     make cuda-check   builds it, and holds every kernel to kernels/cuda/budget.txt
#     make emulated     build/weir-cuda-emulated.so, the same plug-in on an emulated GPU
#     make mutants      barriers and waits left out, faults put in: each is to fail a test; half an hour
#     make cuda-matrix  tests/unit/cuda in every build, order of threads and moment of copies; an hour

NVCC     ?= $(shell command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)
EMULATOR ?= tests/emulator
CUDA_TARGETS := 80 86 89 90a 100 120

CUDA_KERNELS := $(wildcard kernels/cuda/*.cu)
CUDA_HOST    := $(wildcard kernels/cuda/*.c)
# Of the lower floors, what the host side calls: a copy of its own, so that the daemon exports nothing.
CUDA_FLOOR   := base/error.c kernels/quant.c
# Of the host side, what kernels/roofline counts with: pure, and of no GPU.
$(BUILD)/libkernels.a: $(BUILD)/kernels/cuda/attention_plan.o $(BUILD)/kernels/cuda/weight_layout.o
CXXFLAGS     := -std=c++17 $(OPTIMIZE) -Wall -Wextra -fno-omit-frame-pointer -fno-strict-aliasing \
                -ffp-contract=off -pthread -MMD -MP
CUDA_SHARED  := -fPIC -fvisibility=hidden
# The entry alone is exported; what is missing is found when it is built.
CUDA_LINK    := -shared -Wl,--exclude-libs,ALL -Wl,--build-id

# -- Emulated: what runs in tests. The engine switches stacks behind the back of sanitizers, and asks
# for them at run time: it is compiled without. --
EMULATED     := $(BUILD)/emulated
EMULATED_INCLUDE := -DWEIR_EMULATED_CUDA -I$(EMULATOR)/include
EMULATED_SANITIZE := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)
EMULATED_ENGINE  := $(patsubst $(EMULATOR)/%.c,$(EMULATED)/engine/%.o,$(wildcard $(EMULATOR)/*.c))
EMULATED_CUDA    := $(CUDA_KERNELS:%.cu=$(EMULATED)/%.o) $(CUDA_HOST:%.c=$(EMULATED)/%.o)

$(EMULATED)/%.o: %.cu
	@mkdir -p $(@D)
	@echo "  CXX  $<" && $(CXX) -x c++ $(CPPFLAGS) $(EMULATED_INCLUDE) $(CXXFLAGS) $(CUDA_SHARED) \
	  -Wno-unknown-pragmas $(EMULATED_SANITIZE) -c $< -o $@
$(EMULATED)/%.o: %.cpp
	@mkdir -p $(@D)
	@echo "  CXX  $<" && $(CXX) $(CPPFLAGS) $(EMULATED_INCLUDE) $(CXXFLAGS) $(CUDA_SHARED) \
	  $(EMULATED_SANITIZE) -c $< -o $@
$(EMULATED)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<" && $(CC) $(CPPFLAGS) $(EMULATED_INCLUDE) $(CFLAGS) $(CUDA_SHARED) -c $< -o $@
$(EMULATED)/engine/%.o: $(EMULATOR)/%.c
	@mkdir -p $(@D)
	@echo "  CC   $<" && $(CC) -I. -D_GNU_SOURCE $(EMULATED_INCLUDE) $(filter-out -fsanitize% -fno-sanitize%,$(CFLAGS)) \
	  -O2 -ftree-vectorize $(CUDA_SHARED) -c $< -o $@

$(EMULATED)/libcuda.a: $(EMULATED_CUDA)
	@rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/weir-cuda-emulated.so: $(EMULATED_CUDA) $(CUDA_FLOOR:%.c=$(EMULATED)/%.o) $(EMULATED_ENGINE)
	@echo "  LINK $@" && $(CXX) $(filter-out -rdynamic,$(LDFLAGS)) $(CUDA_LINK) $^ -o $@ -lm

# tests/unit/cuda holds kernels against their CPU twins; tests/unit/emulator the emulator to CUDA's word.
UNITS += $(patsubst tests/unit/%.cpp,$(BUILD)/unit/%,$(wildcard tests/unit/cuda/*_test.cpp tests/unit/emulator/*_test.cpp))
emulated_doubles = $(patsubst %,$(EMULATED)/%.o,$(basename $(filter-out %_test.c %_test.cpp,$(wildcard tests/unit/$(1)/*.c tests/unit/$(1)/*.cpp))))
# The emulator's short floats are held against the toolkit's own, where it is.
$(EMULATED)/tests/unit/emulator/toolkit.o: EMULATED_INCLUDE = $(if $(NVCC),-isystem $(CUDA_HOME)/include -DWEIR_CUDA_TOOLKIT)
emulated_rest = $(call emulated_doubles,cuda) \
  $(addprefix $(BUILD)/tests/unit/,kernels/random_values.o models/tiny_model.o models/gguf_builder.o) \
  $(EMULATED)/libcuda.a $(EMULATED_ENGINE) $(ARCHIVES)
$(BUILD)/unit/cuda/%_test: $(EMULATED)/tests/unit/cuda/%_test.o $(emulated_rest)
	@mkdir -p $(@D) && echo "  LINK $@" && $(CXX) $(LDFLAGS) $^ -o $@ $(LDLIBS) -lcmocka
$(BUILD)/unit/emulator/%_test: $(EMULATED)/tests/unit/emulator/%_test.o $(call emulated_doubles,emulator) \
  $(EMULATED_ENGINE)
	@mkdir -p $(@D) && echo "  LINK $@" && $(CXX) $(LDFLAGS) $^ -o $@ -lcmocka -lm

# -- Faulted: a test of kernels with a fault (tests/faults). FAULTED is a folder with one source whose
# like is passed over; FAULTED_SOURCES are compiled anew, and come before the archive that has them. --
ifneq ($(FAULTED),)
$(FAULTED)/%.o: %.cu
	@mkdir -p $(@D) && $(CXX) -x c++ -I$(FAULTED) $(CPPFLAGS) $(EMULATED_INCLUDE) $(CXXFLAGS) $(CUDA_SHARED) \
	  -Wno-unknown-pragmas $(EMULATED_SANITIZE) -c $(or $(wildcard $(FAULTED)/$<),$<) -o $@
$(FAULTED)/%_test: $(FAULTED_SOURCES:%.cu=$(FAULTED)/%.o) $(EMULATED)/tests/unit/cuda/%_test.o $(emulated_rest)
	@$(CXX) $(LDFLAGS) $^ -o $@ $(LDLIBS) -lcmocka
endif

# -- Counted: kernels that tell what they read and write of device memory (emulator_traffic.h). --
COUNTED        := $(BUILD)/counted
COUNTED_CUDA   := $(CUDA_KERNELS:%.cu=$(COUNTED)/%.o)
COUNTED_ENGINE := $(EMULATED_ENGINE) $(EMULATED)/engine/counted/traffic.o

$(COUNTED)/%.o: %.cu
	@mkdir -p $(@D)
	@echo "  CXX  $<" && $(CXX) -x c++ $(CPPFLAGS) $(EMULATED_INCLUDE) $(CXXFLAGS) -Wno-unknown-pragmas -fsanitize=thread -c $< -o $@
$(COUNTED)/%.o: %.cpp
	@mkdir -p $(@D)
	@echo "  CXX  $<" && $(CXX) $(CPPFLAGS) $(EMULATED_INCLUDE) $(CXXFLAGS) -fsanitize=thread -c $< -o $@
$(BUILD)/unit/emulator/traffic_test: $(COUNTED)/tests/unit/emulator/traffic_test.o $(COUNTED_ENGINE)
	@mkdir -p $(@D) && echo "  LINK $@" && $(CXX) $(LDFLAGS) $^ -o $@ -lcmocka -lm
# What kernels/roofline tells of a model's steps, against the counts of its kernels.
$(BUILD)/unit/cuda/roofline_test: $(EMULATED)/tests/unit/cuda/roofline_test.o \
  $(addprefix $(BUILD)/tests/unit/,models/tiny_model.o models/gguf_builder.o) \
  $(COUNTED_CUDA) $(CUDA_HOST:%.c=$(EMULATED)/%.o) $(COUNTED_ENGINE) $(ARCHIVES)
	@mkdir -p $(@D) && echo "  LINK $@" && $(CXX) $(LDFLAGS) $^ -o $@ $(LDLIBS) -lcmocka
# Counting takes the place of a sanitizer.
ifneq ($(SANITIZE),)
UNITS := $(filter-out %/traffic_test %/roofline_test,$(UNITS))
endif

# -- What tests of kernels see, and that no way to run them fails. --
CUDA_TESTS   := $(filter $(BUILD)/unit/cuda/%,$(UNITS))
KERNEL_TESTS := $(filter-out %/roofline_test,$(patsubst tests/unit/%.cpp,$(BUILD)/unit/%,$(wildcard tests/unit/cuda/*_test.cpp)))
SANITIZED     = $(MAKE) --no-print-directory OPTIMIZE='-O1 -g' cuda-tests
.PHONY: cuda-tests mutants cuda-matrix
cuda-tests: $(CUDA_TESTS)
mutants: $(KERNEL_TESTS)
	@$(SANITIZED) BUILD=build/tsan SANITIZE=thread
	@tests/mutants build/tsan/unit/cuda $(KERNEL_TESTS)
	@tests/faults tests/faults.txt $(BUILD)
cuda-matrix: $(CUDA_TESTS)
	@$(SANITIZED) BUILD=build/asan SANITIZE=address,undefined
	@$(SANITIZED) BUILD=build/tsan SANITIZE=thread
	@tests/cuda-matrix "$(BUILD) build/asan build/tsan" $(notdir $(CUDA_TESTS))

# -- By nvcc: what runs on a GPU. The driver is found at run time, through the static runtime. --
CUDA_OBJECTS := $(CUDA_KERNELS:%.cu=$(BUILD)/cuda/%.o) $(CUDA_HOST:%.c=$(BUILD)/cuda/%.o) \
                $(CUDA_FLOOR:%.c=$(BUILD)/cuda/%.o)
CUDA_CODE    := $(foreach sm,$(CUDA_TARGETS),-gencode arch=compute_$(sm),code=sm_$(sm)) \
                -gencode arch=compute_120,code=compute_120
CUDA_HOME     = $(abspath $(dir $(realpath $(NVCC)))..)

$(BUILD)/cuda/%.o: %.cu
	@mkdir -p $(@D)
	@echo "  NVCC $<" && { $(NVCC) -std=c++17 -O3 -fmad=false -Werror all-warnings -compress-mode=size $(CUDA_CODE) \
	  -Xptxas -v -Xcompiler '$(CUDA_SHARED) -Wall -fno-strict-aliasing' -I. -MMD -MP -MF $(@:.o=.d) -c $< -o $@ \
	  2>$(@:.o=.ptxas) || { cat $(@:.o=.ptxas) >&2; false; }; }
$(BUILD)/cuda/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<" && $(CC) $(CPPFLAGS) -isystem $(CUDA_HOME)/include $(CFLAGS) $(CUDA_SHARED) -c $< -o $@
$(BUILD)/weir-cuda.so: $(CUDA_OBJECTS)
	@echo "  LINK $@" && $(CXX) $(filter-out -rdynamic,$(LDFLAGS)) $(CUDA_LINK) $^ -o $@ \
	  -static-libstdc++ -static-libgcc -Wl,--as-needed -L$(CUDA_HOME)/lib64 -lcudart_static -ldl -lrt -lm

.PHONY: cuda cuda-check emulated
emulated: $(BUILD)/weir-cuda-emulated.so
ifeq ($(NVCC),)
cuda cuda-check:
	@echo "weir: no nvcc: weir-cuda.so is left out, and weir serves on the CPU"
else
cuda: $(BUILD)/weir-cuda.so
cuda-check: $(BUILD)/weir-cuda.so
	@tests/cuda-budget kernels/cuda/budget.txt $(wildcard $(BUILD)/cuda/kernels/cuda/*.ptxas)
endif
