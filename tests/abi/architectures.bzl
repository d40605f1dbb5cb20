"""The architectures of Linux: what the structures and numbers of raw must be on each.

One row an architecture; `-` is "the kernel has no such call". Columns:
  name      of the test: abi_NAME_test
  bits      of long
  order     of bytes: little, big
  context   bytes of a context
  align     of an iocb, bytes
  sigset    bytes of the kernel's signal set
  setup to time64   numbers of io_setup, io_destroy, io_getevents, io_submit, io_cancel,
            io_pgetevents, io_pgetevents_time64; mips and x32 with the base of their ABI
  compiler  that Debian packages
  packages  of the compiler and its headers, with commas
  flags     for the compiler, the rest of the row
-DTABLE_ALONE: the headers are another architecture's, so their numbers are not compared.
Read by table.py too, which needs the text as it is.
"""

ARCHITECTURES = """
# name     bits order context align sigset setup destroy getevents submit cancel pgetevents time64 compiler packages flags
x86_64       64 little 8 8  8 206 207 208 209 210 333 -   x86_64-linux-gnu-gcc         gcc,libc6-dev
x32          32 little 8 8  8 0x40000000+543 0x40000000+207 0x40000000+208 0x40000000+544 0x40000000+210 0x40000000+333 - x86_64-linux-gnux32-gcc gcc-x86-64-linux-gnux32,libc6-dev-x32-cross
i686         32 little 4 4  8 245 246 247 248 249 385 416 i686-linux-gnu-gcc           gcc-i686-linux-gnu,libc6-dev-i386-cross
aarch64      64 little 8 8  8 0 1 4 2 3 292 -             aarch64-linux-gnu-gcc        gcc-aarch64-linux-gnu,libc6-dev-arm64-cross
aarch64_be   64 big    8 8  8 0 1 4 2 3 292 -             aarch64-linux-gnu-gcc        gcc-aarch64-linux-gnu,libc6-dev-arm64-cross -mbig-endian
armel        32 little 4 8  8 243 244 245 246 247 399 416 arm-linux-gnueabi-gcc        gcc-arm-linux-gnueabi,libc6-dev-armel-cross
armhf        32 little 4 8  8 243 244 245 246 247 399 416 arm-linux-gnueabihf-gcc      gcc-arm-linux-gnueabihf,libc6-dev-armhf-cross
armeb        32 big    4 8  8 243 244 245 246 247 399 416 arm-linux-gnueabihf-gcc      gcc-arm-linux-gnueabihf,libc6-dev-armhf-cross -mbig-endian
riscv64      64 little 8 8  8 0 1 4 2 3 292 -             riscv64-linux-gnu-gcc        gcc-riscv64-linux-gnu,libc6-dev-riscv64-cross
riscv32      32 little 4 8  8 0 1 - 2 3 - 416             riscv64-linux-gnu-gcc        gcc-riscv64-linux-gnu,libc6-dev-riscv64-cross -march=rv32gc -mabi=ilp32d
loongarch64  64 little 8 8  8 0 1 4 2 3 292 -             clang-16                     clang-16,libc6-dev-riscv64-cross -target loongarch64-linux-gnu -nostdlibinc -isystem /usr/riscv64-linux-gnu/include -D__riscv_xlen=64
loongarch32  32 little 4 8  8 0 1 - 2 3 - 416             clang-16                     clang-16,libc6-dev-riscv64-cross -target loongarch32-linux-gnu -nostdlibinc -isystem /usr/riscv64-linux-gnu/include -D__riscv_xlen=32
powerpc      32 big    4 8  8 227 228 229 230 231 388 416 powerpc-linux-gnu-gcc        gcc-powerpc-linux-gnu,libc6-dev-powerpc-cross
powerpc64    64 big    8 8  8 227 228 229 230 231 388 -   powerpc64-linux-gnu-gcc      gcc-powerpc64-linux-gnu,libc6-dev-ppc64-cross
powerpc64le  64 little 8 8  8 227 228 229 230 231 388 -   powerpc64le-linux-gnu-gcc    gcc-powerpc64le-linux-gnu,libc6-dev-ppc64el-cross
s390x        64 big    8 8  8 243 244 245 246 247 382 -   s390x-linux-gnu-gcc          gcc-s390x-linux-gnu,libc6-dev-s390x-cross
s390         32 big    4 8  8 243 244 245 246 247 382 416 s390x-linux-gnu-gcc          gcc-s390x-linux-gnu,libc6-dev-s390x-cross -m31
mips         32 big    4 8 16 4000+241 4000+242 4000+243 4000+244 4000+245 4000+368 4000+416 mips-linux-gnu-gcc          gcc-mips-linux-gnu,libc6-dev-mips-cross
mipsel       32 little 4 8 16 4000+241 4000+242 4000+243 4000+244 4000+245 4000+368 4000+416 mipsel-linux-gnu-gcc        gcc-mipsel-linux-gnu,libc6-dev-mipsel-cross
mipsr6       32 big    4 8 16 4000+241 4000+242 4000+243 4000+244 4000+245 4000+368 4000+416 mipsisa32r6-linux-gnu-gcc   gcc-mipsisa32r6-linux-gnu,libc6-dev-mipsr6-cross
mipsr6el     32 little 4 8 16 4000+241 4000+242 4000+243 4000+244 4000+245 4000+368 4000+416 mipsisa32r6el-linux-gnu-gcc gcc-mipsisa32r6el-linux-gnu,libc6-dev-mipsr6el-cross
mips64       64 big    8 8 16 5000+200 5000+201 5000+202 5000+203 5000+204 5000+328 - mips64-linux-gnuabi64-gcc          gcc-mips64-linux-gnuabi64,libc6-dev-mips64-cross
mips64el     64 little 8 8 16 5000+200 5000+201 5000+202 5000+203 5000+204 5000+328 - mips64el-linux-gnuabi64-gcc        gcc-mips64el-linux-gnuabi64,libc6-dev-mips64el-cross
mips64r6     64 big    8 8 16 5000+200 5000+201 5000+202 5000+203 5000+204 5000+328 - mipsisa64r6-linux-gnuabi64-gcc     gcc-mipsisa64r6-linux-gnuabi64,libc6-dev-mips64r6-cross
mips64r6el   64 little 8 8 16 5000+200 5000+201 5000+202 5000+203 5000+204 5000+328 - mipsisa64r6el-linux-gnuabi64-gcc   gcc-mipsisa64r6el-linux-gnuabi64,libc6-dev-mips64r6el-cross
mipsn32      32 big    4 8 16 6000+200 6000+201 6000+202 6000+203 6000+204 6000+332 6000+416 mips64-linux-gnuabi64-gcc   gcc-mips64-linux-gnuabi64,libc6-dev-mips64-cross -mabi=n32
mipsn32el    32 little 4 8 16 6000+200 6000+201 6000+202 6000+203 6000+204 6000+332 6000+416 mips64el-linux-gnuabi64-gcc gcc-mips64el-linux-gnuabi64,libc6-dev-mips64el-cross -mabi=n32
sparc64      64 big    8 8  8 268 269 272 270 271 361 -   sparc64-linux-gnu-gcc        gcc-sparc64-linux-gnu,libc6-dev-sparc64-cross
sparc        32 big    4 8  8 268 269 272 270 271 361 416 sparc64-linux-gnu-gcc        gcc-sparc64-linux-gnu,libc6-dev-sparc64-cross -m32
alpha        64 little 8 8  8 398 399 400 401 402 523 -   alpha-linux-gnu-gcc          gcc-alpha-linux-gnu,libc6.1-dev-alpha-cross
hppa         32 big    4 8  8 215 216 217 218 219 350 416 hppa-linux-gnu-gcc           gcc-hppa-linux-gnu,libc6-dev-hppa-cross
hppa64       64 big    8 8  8 215 216 217 218 219 350 -   hppa64-linux-gnu-gcc         gcc-hppa64-linux-gnu,libc6-dev-hppa-cross -isystem /usr/hppa-linux-gnu/include
m68k         32 big    4 2  8 241 242 243 244 245 - 416   m68k-linux-gnu-gcc           gcc-m68k-linux-gnu,libc6-dev-m68k-cross
sh4          32 little 4 4  8 245 246 247 248 249 - 416   sh4-linux-gnu-gcc            gcc-sh4-linux-gnu,libc6-dev-sh4-cross
sh4eb        32 big    4 4  8 245 246 247 248 249 - 416   sh4-linux-gnu-gcc            gcc-sh4-linux-gnu,libc6-dev-sh4-cross -mb
arc          32 little 4 4  8 0 1 4 2 3 292 416           arc-linux-gnu-gcc            gcc-arc-linux-gnu,libc6-dev-arc-cross
hexagon      32 little 4 8  8 0 1 4 2 3 292 416           clang-16                     clang-16,libc6-dev-arc-cross -target hexagon-linux-musl -nostdlibinc -isystem /usr/arc-linux-gnu/include
openrisc     32 big    4 4  8 0 1 4 2 3 292 416           or1k-elf-gcc                 gcc-or1k-elf,libc6-dev-arc-cross -isystem /usr/arc-linux-gnu/include -D__BIG_ENDIAN__
xtensa       32 little 4 8  8 239 240 242 241 243 - 416   xtensa-lx106-elf-gcc         gcc-xtensa-lx106,libc6-dev-riscv64-cross -isystem /usr/riscv64-linux-gnu/include -D__riscv_xlen=32 -DTABLE_ALONE
"""

# Kernels alone: no libc, so nothing that calls.
NO_USER_SPACE = ["hppa64"]

def architectures():
    """The rows, by the name of the architecture."""
    rows = [row for row in ARCHITECTURES.strip().split("\n") if not row.startswith("#")]
    return {row.split(" ")[0]: row for row in rows}
