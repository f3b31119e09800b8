// Between this crate and FAISS 1.12, the tree inside faiss-sys 0.7: what FAISS's C API lacks.
//
// - Rows that lie in somebody else's memory, as f32, f16 or int8, are compared where they are.
// - A graph (faiss::HNSW) is built over such rows, written out as plain arrays, and searched in them.
// - Selectors live on the stack of the call that uses them.
//
// Invariant: no exception leaves this file, and no thread count but the caller's own is changed.
// Left out on purpose: checks of what is passed in. mod.rs makes them, and says so at each call.
#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFRaBitQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/HNSW.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/io.h>
#include <faiss/impl/zerocopy_io.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>
#include <faiss/utils/distances.h>
#include <faiss/utils/fp16.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <queue>
#include <vector>
#ifdef __F16C__
#include <immintrin.h>
#endif

using faiss::DistanceComputer;
using faiss::HNSW;
using faiss::idx_t;

extern "C" {

enum TdElement : uint8_t { ELEMENT_F32 = 0, ELEMENT_F16 = 1, ELEMENT_I8 = 2 };
enum TdMetric : uint8_t { METRIC_COSINE = 0, METRIC_DOT = 1, METRIC_SQUARED = 2 };

/// Rows in somebody else's memory. `scales` is there for int8, `inverse_norms` for a cosine of rows that
/// have not all length 1.
struct TdRows {
    const void* rows;
    const float* scales;
    const float* inverse_norms;
    uint64_t count;
    uint32_t dim;
    uint8_t element;
    uint8_t metric;
};

struct TdError {
    char* text;
    size_t length;
};
}

namespace {

void put(TdError error, const char* text) {
    if (error.text != nullptr && error.length > 0) {
        std::strncpy(error.text, text, error.length - 1);
        error.text[error.length - 1] = 0;
    }
}

template <class F>
int guarded(TdError error, F&& call) noexcept {
    try {
        call();
        return 0;
    } catch (const std::bad_alloc&) {
        put(error, "out of memory");
    } catch (const std::exception& thrown) {
        put(error, thrown.what());
    } catch (...) {
        put(error, "unknown C++ exception");
    }
    return 1;
}

/// OpenMP's number of threads is a setting of the calling thread: it is put back at the end.
struct Threads {
    int before = omp_get_max_threads();
    explicit Threads(int threads) {
        omp_set_num_threads(threads);
    }
    ~Threads() {
        omp_set_num_threads(before);
    }
};

// ---- distances: less is nearer ----------------------------------------------------------------

/// Products of int8 with 16-bit numbers are added up in 32 bits; so many fit (512 x 127 x 32767 < 2^31).
constexpr size_t BLOCK = 512;

int64_t dot_i16_i8(const int16_t* a, const int8_t* b, size_t n) {
    int64_t sum = 0;
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t end = std::min(n, start + BLOCK);
        int32_t part = 0;
        for (size_t i = start; i < end; i++) {
            part += int32_t(a[i]) * int32_t(b[i]);
        }
        sum += part;
    }
    return sum;
}

/// 127 x 127 x 65,535 dimensions fit 31 bits.
int32_t dot_i8_i8(const int8_t* a, const int8_t* b, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += int16_t(a[i]) * int16_t(b[i]);
    }
    return sum;
}

#ifdef __F16C__
float sum_lanes(__m256 v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
#endif

float dot_f32_f16(const float* a, const uint16_t* b, size_t n) {
    size_t i = 0;
    float sum = 0;
#ifdef __F16C__
    __m256 one = _mm256_setzero_ps(), two = _mm256_setzero_ps();
    for (; i + 16 <= n; i += 16) {
        __m256 x = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(b + i)));
        __m256 y = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(b + i + 8)));
        one = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), x, one);
        two = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), y, two);
    }
    sum = sum_lanes(_mm256_add_ps(one, two));
#endif
    for (; i < n; i++) {
        sum += a[i] * faiss::decode_fp16(b[i]);
    }
    return sum;
}

float squared_f32_f16(const float* a, const uint16_t* b, size_t n) {
    size_t i = 0;
    float sum = 0;
#ifdef __F16C__
    __m256 lanes = _mm256_setzero_ps();
    for (; i + 8 <= n; i += 8) {
        __m256 x = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(b + i)));
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(a + i), x);
        lanes = _mm256_fmadd_ps(d, d, lanes);
    }
    sum = sum_lanes(lanes);
#endif
    for (; i < n; i++) {
        float d = a[i] - faiss::decode_fp16(b[i]);
        sum += d * d;
    }
    return sum;
}

void decode_f16(const uint16_t* from, float* to, size_t n) {
    for (size_t i = 0; i < n; i++) {
        to[i] = faiss::decode_fp16(from[i]);
    }
}

/// A distance that is no number is the farthest: numbers too large for floats make one, and FAISS's walk
/// would neither find it in its heap nor end.
inline float ordered(float distance) {
    return std::isnan(distance) ? std::numeric_limits<float>::infinity() : distance;
}

/// Distances between a query, or a row, and rows. None of them is NaN.
struct RowsDistance : DistanceComputer {
    const TdRows rows;
    explicit RowsDistance(const TdRows& rows) : rows(rows) {}

    /// Makes a row the query.
    virtual void set_row(idx_t i) = 0;

    /// Tells the processor that a row is read soon.
    void fetch(idx_t i) const {
        size_t bytes = size_t(rows.dim) * (rows.element == ELEMENT_F32 ? 4 : rows.element == ELEMENT_F16 ? 2 : 1);
        const char* row = static_cast<const char*>(rows.rows) + bytes * size_t(i);
        for (size_t at = 0; at < bytes; at += 64) {
            __builtin_prefetch(row + at);
        }
    }

    float factor(idx_t i) const {
        return rows.inverse_norms != nullptr ? rows.inverse_norms[i] : 1.0f;
    }
};

/// Rows of floats. The query of a cosine need not have length 1: only the order of distances counts.
template <bool squared>
struct F32Distance final : RowsDistance {
    const float* all;
    const float* query = nullptr;
    explicit F32Distance(const TdRows& rows)
            : RowsDistance(rows), all(static_cast<const float*>(rows.rows)) {}

    const float* row(idx_t i) const {
        return all + size_t(i) * rows.dim;
    }
    void set_query(const float* x) override {
        query = x;
    }
    void set_row(idx_t i) override {
        query = row(i);
    }
    float of(const float* a, const float* b) const {
        return squared ? faiss::fvec_L2sqr(a, b, rows.dim) : -faiss::fvec_inner_product(a, b, rows.dim);
    }
    float operator()(idx_t i) override {
        return ordered(of(query, row(i)) * factor(i));
    }
    float symmetric_dis(idx_t i, idx_t j) override {
        return ordered(of(row(i), row(j)) * factor(i) * factor(j));
    }
    void distances_batch_4(
            const idx_t i0, const idx_t i1, const idx_t i2, const idx_t i3,
            float& d0, float& d1, float& d2, float& d3) override {
        if (squared) {
            faiss::fvec_L2sqr_batch_4(query, row(i0), row(i1), row(i2), row(i3), rows.dim, d0, d1, d2, d3);
            d0 = ordered(d0);
            d1 = ordered(d1);
            d2 = ordered(d2);
            d3 = ordered(d3);
            return;
        }
        faiss::fvec_inner_product_batch_4(query, row(i0), row(i1), row(i2), row(i3), rows.dim, d0, d1, d2, d3);
        d0 = ordered(-d0 * factor(i0));
        d1 = ordered(-d1 * factor(i1));
        d2 = ordered(-d2 * factor(i2));
        d3 = ordered(-d3 * factor(i3));
    }
};

template <bool squared>
struct F16Distance final : RowsDistance {
    const uint16_t* all;
    const float* query = nullptr;
    std::vector<float> own, other;
    explicit F16Distance(const TdRows& rows)
            : RowsDistance(rows),
              all(static_cast<const uint16_t*>(rows.rows)),
              own(rows.dim),
              other(rows.dim) {}

    const uint16_t* row(idx_t i) const {
        return all + size_t(i) * rows.dim;
    }
    void set_query(const float* x) override {
        query = x;
    }
    void set_row(idx_t i) override {
        decode_f16(row(i), own.data(), rows.dim);
        query = own.data();
    }
    float of(const float* a, const uint16_t* b) const {
        return squared ? squared_f32_f16(a, b, rows.dim) : -dot_f32_f16(a, b, rows.dim);
    }
    float operator()(idx_t i) override {
        return ordered(of(query, row(i)) * factor(i));
    }
    float symmetric_dis(idx_t i, idx_t j) override {
        decode_f16(row(i), other.data(), rows.dim);
        return ordered(of(other.data(), row(j)) * factor(i) * factor(j));
    }
};

/// Rows of int8, each with a scale. A query is taken in 16 bits, so that all products are of integers.
template <bool squared>
struct I8Distance final : RowsDistance {
    const int8_t* all;
    std::vector<int16_t> query;
    float query_scale = 1, query_squared = 0;
    explicit I8Distance(const TdRows& rows)
            : RowsDistance(rows), all(static_cast<const int8_t*>(rows.rows)), query(rows.dim) {}

    const int8_t* row(idx_t i) const {
        return all + size_t(i) * rows.dim;
    }
    void set_query(const float* x) override {
        float most = 0;
        for (size_t i = 0; i < rows.dim; i++) {
            most = std::max(most, std::fabs(x[i]));
        }
        query_scale = most > 0 ? most / 32767 : 1;
        for (size_t i = 0; i < rows.dim; i++) {
            query[i] = int16_t(std::lrintf(x[i] / query_scale));
        }
        query_squared = squared ? faiss::fvec_norm_L2sqr(x, rows.dim) : 0;
    }
    void set_row(idx_t i) override {
        const int8_t* from = row(i);
        for (size_t j = 0; j < rows.dim; j++) {
            query[j] = from[j];
        }
        query_scale = rows.scales[i];
        query_squared = squared ? query_scale * query_scale * float(dot_i8_i8(from, from, rows.dim)) : 0;
    }
    float of(float dot, float a_squared, const int8_t* b, float b_scale, idx_t i) const {
        if (squared) {
            float b_squared = b_scale * b_scale * float(dot_i8_i8(b, b, rows.dim));
            return ordered(a_squared + b_squared - 2 * dot);
        }
        return ordered(-dot * factor(i));
    }
    float operator()(idx_t i) override {
        float scale = rows.scales[i];
        float dot = float(dot_i16_i8(query.data(), row(i), rows.dim)) * query_scale * scale;
        return of(dot, query_squared, row(i), scale, i);
    }
    float symmetric_dis(idx_t i, idx_t j) override {
        float scale = rows.scales[i], other = rows.scales[j];
        float dot = float(dot_i8_i8(row(i), row(j), rows.dim)) * scale * other;
        if (!squared) {
            return ordered(-dot * factor(i) * factor(j));
        }
        float own = scale * scale * float(dot_i8_i8(row(i), row(i), rows.dim));
        return of(dot, own, row(j), other, j);
    }
};

std::unique_ptr<RowsDistance> distance(const TdRows& rows) {
    bool squared = rows.metric == METRIC_SQUARED;
    auto made = [](auto* computer) { return std::unique_ptr<RowsDistance>(computer); };
    switch (rows.element) {
        case ELEMENT_F16:
            return squared ? made(new F16Distance<true>(rows)) : made(new F16Distance<false>(rows));
        case ELEMENT_I8:
            return squared ? made(new I8Distance<true>(rows)) : made(new I8Distance<false>(rows));
        default:
            return squared ? made(new F32Distance<true>(rows)) : made(new F32Distance<false>(rows));
    }
}

/// How many rows are fetched before they are read: 8 of dim 384 are 12 kB, a third of a first-level cache.
constexpr size_t AHEAD = 8;

/// One for each thread that searches: zeroing one a search costs more than the greedy descent.
faiss::VisitedTable& visited(size_t rows) {
    thread_local faiss::VisitedTable table(0);
    if (table.visited.size() < rows) {
        table.visited.assign(rows, 0);
        table.visno = 1;
    }
    return table;
}

bool passes(const uint8_t* bitmap, size_t length, int32_t row) {
    size_t byte = size_t(row) / 8;
    return byte < length && (bitmap[byte] >> (row % 8) & 1) != 0;
}

/// Tells the processor that the neighbours of a row are read soon.
void fetch_neighbours(const HNSW& hnsw, int32_t row) {
    const int32_t* first = hnsw.neighbors.data() + hnsw.offsets[row];
    for (int at = 0; at < hnsw.nb_neighbors(0); at += 16) {
        __builtin_prefetch(first + at);
    }
}

/// Walks over a graph as FAISS's HNSW::search does, and keeps what passes. A row that does not pass leads
/// on to its neighbours all the same. Unlike FAISS's, it tells the processor early which rows it will read:
/// they lie all over the file, and waiting for them takes much of the time.
size_t walk(
        const HNSW& hnsw, RowsDistance& computer, faiss::VisitedTable& seen, size_t k, size_t ef,
        const uint8_t* bitmap, size_t length, float* distances, int64_t* ids) {
    using Node = HNSW::Node;
    if (hnsw.entry_point < 0) {
        return 0;
    }
    int32_t nearest = hnsw.entry_point;
    float d_nearest = computer(nearest);
    for (int level = hnsw.max_level; level >= 1; level--) {
        faiss::greedy_update_nearest(hnsw, computer, level, nearest, d_nearest);
    }
    std::priority_queue<Node, std::vector<Node>, std::greater<Node>> frontier;
    // The ef nearest of all rows met, which say when to stop, and with a filter the k nearest of those that pass.
    std::priority_queue<Node> near, best;
    bool filtered = bitmap != nullptr;
    auto meet = [&](float distance, int32_t row) {
        if (near.size() < ef || distance < near.top().first) {
            // It may be walked next, and its neighbours lie anywhere in the file.
            fetch_neighbours(hnsw, row);
            frontier.emplace(distance, row);
            near.emplace(distance, row);
            if (near.size() > ef) {
                near.pop();
            }
        }
        if (filtered && (best.size() < k || distance < best.top().first) && passes(bitmap, length, row)) {
            best.emplace(distance, row);
            if (best.size() > k) {
                best.pop();
            }
        }
    };
    seen.set(nearest);
    meet(d_nearest, nearest);
    std::vector<int32_t> batch;
    while (!frontier.empty()) {
        auto [distance, row] = frontier.top();
        frontier.pop();
        if (near.size() >= ef && distance > near.top().first) {
            break;
        }
        batch.clear();
        size_t begin, end;
        hnsw.neighbor_range(row, 0, &begin, &end);
        for (size_t i = begin; i < end && hnsw.neighbors[i] >= 0; i++) {
            int32_t neighbour = hnsw.neighbors[i];
            if (!seen.get(neighbour)) {
                seen.set(neighbour);
                batch.push_back(neighbour);
            }
        }
        for (size_t i = 0; i < batch.size() && i < AHEAD; i++) {
            computer.fetch(batch[i]);
        }
        size_t i = 0;
        for (; i + 4 <= batch.size(); i += 4) {
            for (size_t j = i + AHEAD; j < i + AHEAD + 4 && j < batch.size(); j++) {
                computer.fetch(batch[j]);
            }
            float d[4];
            computer.distances_batch_4(batch[i], batch[i + 1], batch[i + 2], batch[i + 3], d[0], d[1], d[2], d[3]);
            for (size_t j = 0; j < 4; j++) {
                meet(d[j], batch[i + j]);
            }
        }
        for (; i < batch.size(); i++) {
            meet(computer(batch[i]), batch[i]);
        }
    }
    seen.advance();
    if (!filtered) {
        best.swap(near);
        while (best.size() > k) {
            best.pop();
        }
    }
    size_t found = best.size();
    for (size_t i = found; i > 0; i--) {
        distances[i - 1] = best.top().first;
        ids[i - 1] = best.top().second;
        best.pop();
    }
    return found;
}

struct Graph {
    HNSW hnsw;
    explicit Graph(int m) : hnsw(m) {}
};

/// Links the rows from `first` on, in parallel, those of the highest level first.
///
/// As FAISS's own hnsw_add_vertices, but over rows that are not copied, with points handed out one by one:
/// in fixed shares the slowest thread would keep the others waiting.
void link(HNSW& hnsw, const TdRows& rows, size_t first) {
    size_t count = rows.count - first;
    hnsw.prepare_level_tab(count);
    std::vector<omp_lock_t> locks(rows.count);
    for (auto& lock : locks) {
        omp_init_lock(&lock);
    }
    std::vector<int> order(count);
    for (size_t i = 0; i < count; i++) {
        order[i] = int(first + i);
    }
    faiss::RandomGenerator random(789);
    for (size_t i = 0; i + 1 < count; i++) {
        std::swap(order[i], order[i + random.rand_int(int(count - i))]);
    }
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return hnsw.levels[a] > hnsw.levels[b]; });

    std::atomic<bool> failed(false);
    size_t start = 0;
    while (start < count && !failed) {
        int level = hnsw.levels[order[start]];
        size_t end = start;
        while (end < count && hnsw.levels[order[end]] == level) {
            end++;
        }
#pragma omp parallel if (end > start + 100)
        {
            std::unique_ptr<RowsDistance> computer;
            std::unique_ptr<faiss::VisitedTable> table;
            try {
                computer = distance(rows);
                table = std::make_unique<faiss::VisitedTable>(int(rows.count));
            } catch (...) {
                failed = true;
            }
#pragma omp for schedule(dynamic, 16)
            for (size_t i = start; i < end; i++) {
                // An exception that left this region would end the process.
                if (failed) {
                    continue;
                }
                try {
                    computer->set_row(order[i]);
                    hnsw.add_with_locks(*computer, level - 1, order[i], locks, *table);
                } catch (...) {
                    failed = true;
                }
            }
        }
        start = end;
    }
    for (auto& lock : locks) {
        omp_destroy_lock(&lock);
    }
    if (failed) {
        throw std::bad_alloc();
    }
}

/// Levels, offsets, and a view of the neighbours or a copy of them.
std::unique_ptr<Graph> graph_of(
        int m, size_t count, const uint8_t* levels, const int32_t* neighbours, size_t length,
        int32_t entry, bool copy) {
    auto graph = std::make_unique<Graph>(m);
    HNSW& hnsw = graph->hnsw;
    hnsw.levels.assign(levels, levels + count);
    hnsw.offsets.resize(count + 1);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        at += hnsw.cum_nb_neighbors(levels[i]);
        hnsw.offsets[i + 1] = at;
    }
    if (copy) {
        hnsw.neighbors = std::vector<int32_t>(neighbours, neighbours + length);
    } else {
        // FAISS takes no const, and writes to no view.
        hnsw.neighbors = faiss::MaybeOwnedVector<int32_t>::create_view(
                const_cast<int32_t*>(neighbours), length, nullptr);
    }
    hnsw.entry_point = entry;
    hnsw.max_level = entry < 0 ? -1 : levels[entry] - 1;
    return graph;
}

struct CallbackWriter final : faiss::IOWriter {
    int (*write)(void*, const uint8_t*, size_t);
    void* context;
    size_t operator()(const void* data, size_t size, size_t items) override {
        return write(context, static_cast<const uint8_t*>(data), size * items) == 0 ? items : 0;
    }
};

/// Settings of one search, for whatever kind of index it is.
struct Settings {
    std::vector<std::unique_ptr<faiss::SearchParameters>> kept;

    template <class T>
    T* keep(T* made) {
        kept.emplace_back(made);
        return made;
    }

    faiss::SearchParameters* of(const faiss::Index* index, faiss::IDSelector* selector, int ef, size_t nprobe) {
        if (auto* pre = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
            auto* made = keep(new faiss::SearchParametersPreTransform);
            made->index_params = of(pre->index, selector, ef, nprobe);
            made->sel = selector;
            return made;
        }
        if (auto* rabitq = dynamic_cast<const faiss::IndexIVFRaBitQ*>(index)) {
            auto* made = keep(new faiss::IVFRaBitQSearchParameters);
            made->nprobe = nprobe > 0 ? nprobe : rabitq->nprobe;
            made->qb = rabitq->qb;
            made->sel = selector;
            return made;
        }
        if (auto* lists = dynamic_cast<const faiss::IndexIVF*>(index)) {
            auto* made = keep(new faiss::SearchParametersIVF);
            made->nprobe = nprobe > 0 ? nprobe : lists->nprobe;
            made->max_codes = lists->max_codes;
            made->sel = selector;
            made->quantizer_params = of(lists->quantizer, nullptr, ef, 0);
            return made;
        }
        if (auto* graph = dynamic_cast<const faiss::IndexHNSW*>(index)) {
            auto* made = keep(new faiss::SearchParametersHNSW);
            made->efSearch = ef > 0 ? ef : graph->hnsw.efSearch;
            made->sel = selector;
            return made;
        }
        auto* made = keep(new faiss::SearchParameters);
        made->sel = selector;
        return made;
    }
};

} // namespace

extern "C" {

int td_graph_build(
        const TdRows* rows, int m, int ef_construction, int threads, uint64_t base_count,
        const uint8_t* base_levels, const int32_t* base_neighbours, size_t base_length, int32_t base_entry,
        Graph** out, TdError error) {
    return guarded(error, [&] {
        Threads limit(threads);
        std::unique_ptr<Graph> graph = base_count > 0
                ? graph_of(m, base_count, base_levels, base_neighbours, base_length, base_entry, true)
                : std::make_unique<Graph>(m);
        graph->hnsw.efConstruction = ef_construction;
        // The same levels again would make the new rows' tower that of the old ones.
        graph->hnsw.rng = faiss::RandomGenerator(12345 + int64_t(base_count));
        link(graph->hnsw, *rows, base_count);
        *out = graph.release();
    });
}

int td_graph_view(
        int m, uint64_t count, const uint8_t* levels, const int32_t* neighbours, size_t length, int32_t entry,
        Graph** out, TdError error) {
    return guarded(error, [&] {
        *out = graph_of(m, count, levels, neighbours, length, entry, false).release();
    });
}

void td_graph_free(Graph* graph) {
    delete graph;
}

/// Where a graph's arrays are. They live as long as the graph.
void td_graph_parts(const Graph* graph, const int** levels, const int32_t** neighbours, size_t* length, int32_t* entry) {
    *levels = graph->hnsw.levels.data();
    *neighbours = graph->hnsw.neighbors.data();
    *length = graph->hnsw.neighbors.size();
    *entry = graph->hnsw.entry_point;
}

/// How many neighbours a row of so many levels has room for; -1 where no row has so many.
int64_t td_graph_room(int m, int levels) {
    HNSW hnsw(m);
    if (levels < 0 || size_t(levels) >= hnsw.cum_nneighbor_per_level.size()) {
        return -1;
    }
    return hnsw.cum_nb_neighbors(levels);
}

int td_graph_search(
        const Graph* graph, const TdRows* rows, const float* query, size_t k, size_t ef,
        const uint8_t* bitmap, size_t bitmap_length, float* distances, int64_t* ids, size_t* found, TdError error) {
    return guarded(error, [&] {
        std::unique_ptr<RowsDistance> computer = distance(*rows);
        computer->set_query(query);
        faiss::VisitedTable& table = visited(rows->count);
        // A search that was cut short by an exception has left marks.
        table.advance();
        *found = walk(graph->hnsw, *computer, table, k, std::max(ef, k), bitmap, bitmap_length, distances, ids);
    });
}

/// The distances of some rows. Rows lie apart, so the processor is told early which come next.
int td_scan(const TdRows* rows, const float* query, const uint32_t* ids, size_t count, float* distances, TdError error) {
    return guarded(error, [&] {
        std::unique_ptr<RowsDistance> computer = distance(*rows);
        computer->set_query(query);
        auto fetch = [&](size_t i) {
            if (i < count) {
                computer->fetch(ids[i]);
            }
        };
        for (size_t i = 0; i < AHEAD; i++) {
            fetch(i);
        }
        size_t i = 0;
        for (; i + 4 <= count; i += 4) {
            for (size_t j = i + AHEAD; j < i + AHEAD + 4; j++) {
                fetch(j);
            }
            computer->distances_batch_4(
                    ids[i], ids[i + 1], ids[i + 2], ids[i + 3],
                    distances[i], distances[i + 1], distances[i + 2], distances[i + 3]);
        }
        for (; i < count; i++) {
            distances[i] = (*computer)(ids[i]);
        }
    });
}

/// The nearest of some rows of floats to each query, nearest first, as products or squared distances.
int td_knn(
        uint32_t dim, uint64_t asked, const float* queries, uint64_t count, const float* rows, uint8_t metric, size_t k,
        float* distances, int64_t* ids, TdError error) {
    return guarded(error, [&] {
        Threads one(1);
        if (metric == METRIC_SQUARED) {
            faiss::knn_L2sqr(queries, rows, dim, asked, count, k, distances, ids);
        } else {
            faiss::knn_inner_product(queries, rows, dim, asked, count, k, distances, ids);
        }
    });
}

/// Centroids of rows of floats, by k-means; of length 1 for a cosine.
int td_kmeans(
        uint32_t dim, uint64_t count, const float* rows, uint64_t lists, uint8_t metric, int threads,
        float* centroids, TdError error) {
    return guarded(error, [&] {
        Threads limit(threads);
        faiss::ClusteringParameters parameters;
        parameters.niter = 10;
        parameters.seed = 1234;
        parameters.spherical = metric == METRIC_COSINE;
        parameters.min_points_per_centroid = 1;
        // The sample was drawn by the caller.
        parameters.max_points_per_centroid = 1 << 30;
        faiss::Clustering clustering(int(dim), int(lists), parameters);
        if (metric == METRIC_COSINE) {
            faiss::IndexFlatIP nearest(dim);
            clustering.train(idx_t(count), rows, nearest);
        } else {
            faiss::IndexFlatL2 nearest(dim);
            clustering.train(idx_t(count), rows, nearest);
        }
        std::copy(clustering.centroids.begin(), clustering.centroids.end(), centroids);
    });
}

/// The nearest centroid of each row of floats.
int td_assign(
        uint32_t dim, uint64_t lists, const float* centroids, uint64_t count, const float* rows, uint8_t metric,
        int threads, float* distances, int64_t* labels, TdError error) {
    return guarded(error, [&] {
        Threads limit(threads);
        auto assign = [&](faiss::IndexFlat&& index) {
            index.add(idx_t(lists), centroids);
            index.search(idx_t(count), rows, 1, distances, labels);
        };
        if (metric == METRIC_COSINE) {
            assign(faiss::IndexFlatIP(dim));
        } else {
            assign(faiss::IndexFlatL2(dim));
        }
    });
}

int td_index_make(uint32_t dim, const char* description, uint8_t metric, faiss::Index** out, TdError error) {
    return guarded(error, [&] {
        auto kind = metric == METRIC_SQUARED ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
        *out = faiss::index_factory(int(dim), description, kind);
    });
}

void td_index_free(faiss::Index* index) {
    delete index;
}

int64_t td_index_count(const faiss::Index* index) {
    return index->ntotal;
}

int32_t td_index_dim(const faiss::Index* index) {
    return index->d;
}

int td_index_train(faiss::Index* index, uint64_t count, const float* rows, int threads, TdError error) {
    return guarded(error, [&] {
        Threads limit(threads);
        if (!index->is_trained) {
            index->train(idx_t(count), rows);
        }
    });
}

int td_index_add(faiss::Index* index, uint64_t count, const float* rows, int threads, TdError error) {
    return guarded(error, [&] {
        Threads limit(threads);
        index->add(idx_t(count), rows);
    });
}

int td_index_write(
        const faiss::Index* index, int (*write)(void*, const uint8_t*, size_t), void* context, TdError error) {
    return guarded(error, [&] {
        CallbackWriter writer;
        writer.write = write;
        writer.context = context;
        faiss::write_index(index, &writer);
    });
}

/// The index keeps pointers into the bytes.
int td_index_view(const uint8_t* bytes, size_t length, faiss::Index** out, TdError error) {
    return guarded(error, [&] {
        faiss::ZeroCopyIOReader reader(bytes, length);
        *out = faiss::read_index(&reader);
    });
}

int td_index_search(
        const faiss::Index* index, const float* query, size_t k, size_t ef, size_t nprobe,
        const uint8_t* bitmap, size_t bitmap_length, float* distances, int64_t* ids, TdError error) {
    return guarded(error, [&] {
        Threads one(1);
        faiss::IDSelectorBitmap selector(bitmap_length, bitmap);
        Settings settings;
        auto* chosen = settings.of(index, bitmap != nullptr ? &selector : nullptr, int(ef), nprobe);
        index->search(1, query, idx_t(k), distances, ids, chosen);
    });
}
}
