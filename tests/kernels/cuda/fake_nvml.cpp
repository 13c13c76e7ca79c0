// A device's management library as telemetry.cpp asks it, in the place of the real one: what the test wants it to say.
extern "C" {

static unsigned sm_clock = 1980;
static unsigned long long held_by = 0, energy_mj = 1000000;

int fake_nvml_set(unsigned clock, unsigned long long reasons, unsigned long long millijoules) {
    sm_clock = clock;
    held_by = reasons;
    energy_mj = millijoules;
    return 0;
}
int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus, void** device) {
    static int one;
    *device = &one;
    return bus[0] == '0' ? 0 : 6;
}
int nvmlDeviceGetClockInfo(void*, int kind, unsigned* out) {
    *out = kind == 1 ? sm_clock : 3201;
    return kind == 1 || kind == 2 ? 0 : 2;
}
int nvmlDeviceGetCurrentClocksEventReasons(void*, unsigned long long* out) {
    *out = held_by;
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* out) {
    *out = energy_mj;
    return 0;
}
}
