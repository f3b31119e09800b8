// For tests: what FAISS's C API has for CUDA cards, on the processor. Linked with a whole FAISS of its own it is a
// library that the program loads as it does that of `make faiss-gpu`; indexes "on the card" are copies.
//
// It refuses what a card does, so that a test meets it: kinds of indexes that are not there, more than 2,048
// neighbours or lists.

#include <exception>
#include <memory>

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/clone_index.h>
#include <faiss/impl/FaissAssert.h>
#include <omp.h>

// Of FAISS's C API: what `faiss_get_last_error` tells.
extern thread_local std::exception_ptr faiss_last_exception;

namespace {

constexpr faiss::idx_t MOST = 2048;

/// A card takes no threads of the processor; tests run side by side already.
struct OneThread {
    int before = omp_get_max_threads();
    OneThread() {
        omp_set_num_threads(1);
    }
    ~OneThread() {
        omp_set_num_threads(before);
    }
};

/// Looks at what a search asks for.
struct OnCard final : faiss::Index {
    std::unique_ptr<faiss::Index> inside;

    explicit OnCard(faiss::Index* index) : faiss::Index(index->d, index->metric_type), inside(index) {
        refresh();
    }

    void refresh() {
        ntotal = inside->ntotal;
        is_trained = inside->is_trained;
    }

    void train(faiss::idx_t n, const float* x) override {
        OneThread one;
        inside->train(n, x);
        refresh();
    }

    void add(faiss::idx_t n, const float* x) override {
        OneThread one;
        inside->add(n, x);
        refresh();
    }

    void reset() override {
        inside->reset();
        refresh();
    }

    void search(
            faiss::idx_t n, const float* x, faiss::idx_t k, float* distances, faiss::idx_t* labels,
            const faiss::SearchParameters* parameters) const override {
        FAISS_THROW_IF_NOT_MSG(k > 0 && k <= MOST, "a card selects at most 2048");
        if (auto* lists = dynamic_cast<const faiss::SearchParametersIVF*>(parameters)) {
            FAISS_THROW_IF_NOT_MSG(lists->nprobe > 0 && lists->nprobe <= size_t(MOST), "a card reads at most 2048 lists");
            FAISS_THROW_IF_NOT_MSG(lists->sel == nullptr, "a card keeps to no selector");
        }
        OneThread one;
        inside->search(n, x, k, distances, labels, parameters);
    }
};

bool is_there(const faiss::Index* index) {
    if (auto* changed = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
        return is_there(changed->index);
    }
    return dynamic_cast<const faiss::IndexFlat*>(index) || dynamic_cast<const faiss::IndexIVFFlat*>(index) ||
            dynamic_cast<const faiss::IndexIVFScalarQuantizer*>(index) || dynamic_cast<const faiss::IndexIVFPQ*>(index);
}

template <class F>
int guarded(F&& f) {
    try {
        f();
        return 0;
    } catch (...) {
        faiss_last_exception = std::current_exception();
        return -2;
    }
}

} // namespace

extern "C" {

int faiss_get_num_gpus(int* count) {
    *count = 1;
    return 0;
}

int faiss_StandardGpuResources_new(void** out) {
    *out = new int(0);
    return 0;
}

void faiss_StandardGpuResources_free(void* resources) {
    delete static_cast<int*>(resources);
}

int faiss_GpuClonerOptions_new(int** out) {
    *out = new int(0);
    return 0;
}

void faiss_GpuClonerOptions_set_useFloat16(int* options, int value) {
    *options = value;
}

void faiss_GpuClonerOptions_free(int* options) {
    delete options;
}

int faiss_index_cpu_to_gpu_with_options(void*, int, const faiss::Index* index, const int* half, faiss::Index** out) {
    return guarded([&] {
        auto* product = dynamic_cast<const faiss::IndexIVFPQ*>(index);
        FAISS_THROW_IF_NOT_MSG(!product || *half || product->pq.M <= 48, "tables of f32 have no room");
        FAISS_THROW_IF_NOT_MSG(!dynamic_cast<const faiss::IndexFlat*>(index) || !*half, "rows would become f16");
        FAISS_THROW_IF_NOT_MSG(is_there(index), "This index type is not implemented on GPU.");
        *out = new OnCard(faiss::clone_index(index));
    });
}

int faiss_index_gpu_to_cpu(const faiss::Index* index, faiss::Index** out) {
    return guarded([&] { *out = faiss::clone_index(static_cast<const OnCard*>(index)->inside.get()); });
}
}
