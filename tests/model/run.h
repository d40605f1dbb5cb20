// A random run: episodes of steps, each one call that is compared with the model's answer.

#ifndef KAIO_TESTS_MODEL_RUN_H_
#define KAIO_TESTS_MODEL_RUN_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/sim/sim.h"
#include "kaio/safe/testing.h"
#include "tests/model/choices.h"
#include "tests/model/model.h"
#include "tests/model/world.h"

namespace kaio_model {

constexpr int kCodeCount = KAIO_INTERRUPTED + 1;
constexpr int kErrno = 9999;

// What a run came across.
struct Tally {
    uint64_t episode_count = 0;
    uint64_t step_count = 0;
    std::map<std::string, std::array<uint64_t, kCodeCount>> answers;  // by call and code
    std::map<std::string, uint64_t> outcomes;                         // by operation and outcome
    bool knows_alignment = false;  // the file system told what direct I/O needs

    uint64_t Answers(kaio_code code) const;
    std::string Summary() const;
};

class Run;

// The most segments of a vectored request here.
constexpr uint32_t kPartsMax = 3;

// What was taken, with its buffers. A completion whose `segments` is not NULL has those beside it.
struct Kept {
    kaio_completion completion;
    std::array<kaio_segment, kPartsMax> segments;
};

// Both give up a request of any kind.
kaio_ticket PushBits(kaio_operation operation, Bits bits, uint64_t user);
void DropBits(kaio_operation operation, Bits bits);

// An Action does one call. To add an operation, add a row to the table in actions.cc.
struct Action {
    const char *name;
    uint32_t weight;
    void (*act)(Run *run);
};
extern const std::vector<Action> kActions;

class Run {
  public:
    // `world` and `tally` outlive the run; `seed` is what a failure names.
    Run(World *world, Tally *tally, Choices choices, uint64_t seed);
    ~Run();
    Run(const Run &) = delete;
    Run &operator=(const Run &) = delete;

    // Episode makes up to `step_count` steps from nothing, and ends everything.
    void Episode(uint64_t step_count);

    // Step makes one, StepInHandler one inside a handler that the call of another one called.
    void Step();
    void StepInHandler();

    // ---- for the actions ----

    // Call makes a call of the library's, which must leave errno alone.
    template <typename Function>
    auto Call(Function function) {
        BeginCall();
        auto answer = function();
        EndCall();
        return answer;
    }
    template <typename Function>
    void CallVoid(Function function) {
        BeginCall();
        function();
        EndCall();
    }

    // Expect compares an answer with the model's and counts it.
    void Expect(const char *name, kaio_status got, kaio_status want);
    void Count(const char *name, kaio_code code = KAIO_OK);
    void CountOutcome(const kaio_completion &completion);
    void CountAlignment(const kaio_alignment &alignment);

    // Handles to try: mostly good ones, now and then stale, invented or of another kind.
    Bits PickQueue();
    Bits PickFile(bool is_for_transfer = false);
    Bits PickBuffer();
    Bits PickView();
    Bits PickPool();
    Bits PickRegion();
    Bits PickRequest(kaio_operation operation);
    uint64_t PickTicket();
    Bits Bad();
    Bits Invented();
    Bits OfAnyKind();
    Bits Suitable(Bits file, Bits buffer);
    Queue *AnyQueue();
    Request *AnyIdle();

    kaio_range PickRange(Bits file, Bits buffer);
    uint32_t PickFlags(Bits file);
    Deadline PickDeadline(Bits queue, kaio_deadline *out_deadline);
    kaio_operation PickOperation();
    kaio_operation PickTransfer();
    kaio_operation PickVectored();
    kaio_operation PickAnyOperation();

    // Took learns where a new buffer is, and its content is what the model thinks.
    void CheckBuffer(const Buffer &buffer);
    void Play(const kaio_sim_script &next);

    // Whether this run may lose what stays for ever: contexts, descriptors. By the seed alone, so
    // that a run can be repeated.
    bool CanLose() const {
        return seed_ % 64 == 1;
    }

    World *world;
    Choices choices;
    Model model;
    kaio_sim_script script = {};
    std::vector<Kept> kept;
    uint32_t handler_depth = 0;
    bool is_elsewhere = false;  // another thread calls, and this one waits for it

  private:
    Bits Invent();
    Bits PickMemory(bool is_view);
    Bits PickFrames(bool is_region);
    static void Watch(void *context, const kaio_sim_note *note);
    void BeginCall();
    void EndCall();
    void Interrupt();
    void CheckAll();
    void EndAll();
    void DropPools(bool really);

    Tally *tally_;
    uint64_t seed_;
    uint64_t step_ = 0;
    uint32_t call_depth_ = 0;
    std::vector<uint64_t> strayed_;  // requests that handlers gave up in this step
};

// A run of many episodes with the seeds first_seed, first_seed + 1, ...
constexpr uint64_t kEpisodeSteps = 2000;
void RunSeeds(uint64_t first_seed, uint64_t episode_count, Tally *tally,
              void (*on_episode)(const Tally &tally));

}  // namespace kaio_model

#endif  // KAIO_TESTS_MODEL_RUN_H_
