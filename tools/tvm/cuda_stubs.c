/*
 * Stand-ins for the 49 CUDA functions that the prebuilt libtvm.so is linked against. Nothing in
 * this project calls them, but the dynamic loader wants to find each one. Whoever does ask TVM for
 * a GPU gets CUDA's own error code and, through TVM's checks, the message below; never a crash.
 *
 * setup_tvm.py compiles this file three times: with -DLIBCUDA, -DLIBCUDART and -DLIBNVRTC, into
 * libraries that have the real ones' names. A stand-in reads no argument, so that its parameters
 * need not be declared; what it returns is a status (CUresult, cudaError_t or nvrtcResult, all of
 * the size of int).
 */

#define MESSAGE "no CUDA: TVM was set up with stand-ins for CUDA's libraries (only CPU targets work)"

/* The "no device" of the driver and of the runtime interface is the same number. */
#define CUDA_NO_DEVICE 100
#define NVRTC_INTERNAL_ERROR 11

#ifdef LIBNVRTC
#define STATUS NVRTC_INTERNAL_ERROR
#else
#define STATUS CUDA_NO_DEVICE
#endif

/* clang-format off */
#define STUB(name) int name(void); int name(void) { return STATUS; }
/* clang-format on */

#ifdef LIBCUDA
STUB(cuDeviceGetName)
STUB(cuFuncSetAttribute)
STUB(cuLaunchKernel)
STUB(cuMemsetD32_v2)
STUB(cuModuleGetFunction)
STUB(cuModuleGetGlobal_v2)
STUB(cuModuleLoadData)
STUB(cuModuleUnload)
STUB(cuTensorMapEncodeIm2col)
STUB(cuTensorMapEncodeTiled)

int cuGetErrorName(int error, const char **text);
int cuGetErrorName(int error, const char **text)
{
    (void)error;
    *text = MESSAGE;
    return 0;
}
#endif

#ifdef LIBCUDART
STUB(cudaDeviceGetAttribute)
STUB(cudaEventCreate)
STUB(cudaEventDestroy)
STUB(cudaEventElapsedTime)
STUB(cudaEventRecord)
STUB(cudaEventSynchronize)
STUB(cudaFree)
STUB(cudaFreeHost)
STUB(cudaGetDevice)
STUB(cudaGetDeviceCount)
STUB(cudaGetDeviceProperties_v2)
STUB(cudaGraphDestroy)
STUB(cudaGraphExecDestroy)
STUB(cudaGraphInstantiate)
STUB(cudaGraphLaunch)
STUB(cudaMalloc)
STUB(cudaMallocHost)
STUB(cudaMemGetInfo)
STUB(cudaMemcpyAsync)
STUB(cudaMemcpyPeerAsync)
STUB(cudaMemsetAsync)
STUB(cudaSetDevice)
STUB(cudaStreamBeginCapture)
STUB(cudaStreamCreate)
STUB(cudaStreamCreateWithFlags)
STUB(cudaStreamDestroy)
STUB(cudaStreamEndCapture)
STUB(cudaStreamSynchronize)
STUB(cudaStreamWaitEvent)

const char *cudaGetErrorString(int error);
const char *cudaGetErrorString(int error)
{
    (void)error;
    return MESSAGE;
}
#endif

#ifdef LIBNVRTC
STUB(nvrtcCompileProgram)
STUB(nvrtcCreateProgram)
STUB(nvrtcDestroyProgram)
STUB(nvrtcGetPTX)
STUB(nvrtcGetPTXSize)
STUB(nvrtcGetProgramLog)
STUB(nvrtcGetProgramLogSize)

const char *nvrtcGetErrorString(int error);
const char *nvrtcGetErrorString(int error)
{
    (void)error;
    return MESSAGE;
}
#endif
