// swift-tools-version: 6.2
import PackageDescription

// The manifest is the map: targets stand in dependency order, and nothing points back.
// The flow is explained in docs/architecture.md.

let package = Package(
  name: "pinlab",
  products: [
    .library(name: "PinLab", targets: ["PinLab"]),
    .executable(name: "pinlab", targets: ["pinlab"]),
    .executable(name: "pinlab-bench", targets: ["pinlab-bench"]),
  ],
  dependencies: [
    // Subcommands, help texts and bad-usage messages of the command line.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
  ],
  targets: [
    // One inline function: the processor's prefetch instruction, which Swift has no name for.
    .systemLibrary(name: "CPrefetch"),
    // The modelled machine: zones, buddy lists, per-CPU lists. Imports only libc, for mmap, and the
    // above.
    .target(name: "MemoryModel", dependencies: ["CPrefetch"]),
    // What tasks do to a machine, as operations that can stop between any two atomic steps: faults,
    // pins, migration.
    .target(name: "MemoryOperations", dependencies: ["MemoryModel"]),
    // Tasks side by side on one machine: every order of their atomic steps, searched or chosen by hand.
    .target(name: "MemoryExploration", dependencies: ["MemoryModel", "MemoryOperations"]),
    // Guests: processes with RAM; what their pins look like and cost, and why a page is where it is.
    .target(name: "MemoryGuests", dependencies: ["MemoryModel", "MemoryOperations"]),
    // Those who pin for devices: VFIO, iommufd, RDMA, io_uring, powerpc's registrations.
    .target(name: "MemoryDevices", dependencies: ["MemoryModel", "MemoryOperations"]),
    // /proc texts and maps, drawn from the state of a machine.
    .target(name: "MemoryRender", dependencies: ["MemoryModel"]),
    // zlib, because recordings are gzip files.
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    // Recorded kernels and captured hosts: read, import, replay, compare.
    .target(name: "Recordings", dependencies: ["MemoryModel", "MemoryOperations", "CZlib"]),
    // Debian's Lua 5.4.
    .systemLibrary(name: "CLua", pkgConfig: "lua5.4", providers: [.apt(["liblua5.4-dev"])]),
    // The only code that may raise a Lua error. Knows nothing of memory.
    .target(name: "CLuaGate", dependencies: ["CLua"]),
    // Lua sessions, limits, sandbox, and the declaration table. Knows nothing of memory.
    .target(name: "LuaBridge", dependencies: ["CLuaGate"]),
    // The Lua API of the model: the only place where both worlds meet.
    .target(
      name: "MemoryLua",
      dependencies: [
        "MemoryModel", "MemoryOperations", "MemoryExploration", "MemoryGuests", "MemoryDevices",
        "MemoryRender",
        "Recordings", "LuaBridge",
      ]),
    // The library product: a session inside another Swift program.
    .target(name: "PinLab", dependencies: ["MemoryModel", "MemoryLua", "LuaBridge"]),
    // GNU readline (GPL-3.0-or-later): linked by the executable alone.
    .systemLibrary(name: "CReadline", providers: [.apt(["libreadline-dev"])]),
    // The handler of Ctrl-C: in C, because a signal handler may not run Swift code.
    .target(name: "CReadlineSupport"),
    // The prompt: lines, history, completion. Knows neither Lua nor memory.
    .target(name: "Console", dependencies: ["CReadline", "CReadlineSupport"]),
    // A prompt around a toy language, which the tests talk to through a pseudo-terminal.
    .executableTarget(
      name: "console-fixture", dependencies: ["Console"], path: "Tests/ConsoleFixture"),
    // Programs under test in a pseudo-terminal, with a screen to look at.
    .target(name: "TerminalTesting", path: "Tests/TerminalTesting"),
    .executableTarget(
      name: "pinlab",
      dependencies: [
        "PinLab", "MemoryModel", "MemoryLua", "LuaBridge", "Recordings", "Console",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "pinlab-bench",
      dependencies: [
        "MemoryModel", "MemoryOperations", "MemoryExploration", "Recordings", "LuaBridge",
        "MemoryLua",
      ]),
    // Compares what a test draws with a text file beside it.
    .target(name: "GoldenTesting", path: "Tests/GoldenTesting"),
    // What the test targets share: choices, seeds, drawn memory, naive models.
    .target(name: "ModelTesting", dependencies: ["MemoryModel"], path: "Tests/ModelTesting"),
    .testTarget(
      name: "MemoryModelTests", dependencies: ["MemoryModel", "ModelTesting", "GoldenTesting"],
      exclude: ["Goldens"]),
    .testTarget(
      name: "MemoryOperationsTests",
      dependencies: ["MemoryModel", "MemoryOperations", "ModelTesting", "GoldenTesting"]),
    .testTarget(
      name: "MemoryDevicesTests",
      dependencies: ["MemoryDevices", "MemoryModel", "MemoryOperations", "ModelTesting"]),
    .testTarget(
      name: "MemoryExplorationTests",
      dependencies: ["MemoryExploration", "MemoryModel", "MemoryOperations", "ModelTesting"]),
    .testTarget(
      name: "MemoryGuestsTests",
      dependencies: ["MemoryGuests", "MemoryModel", "MemoryOperations"]),
    .testTarget(
      name: "MemoryRenderTests",
      dependencies: ["MemoryOperations", "MemoryRender", "GoldenTesting"],
      exclude: ["Goldens"]),
    .testTarget(
      name: "RecordingsTests", dependencies: ["Recordings", "MemoryModel", "MemoryOperations"],
      resources: [.copy("Fixtures")]),
    .testTarget(name: "LuaBridgeTests", dependencies: ["LuaBridge"]),
    .testTarget(
      name: "MemoryLuaTests",
      dependencies: ["MemoryLua", "MemoryModel", "Recordings", "LuaBridge", "GoldenTesting"],
      exclude: ["Fixtures", "Goldens", "Programs"]),
    .testTarget(
      name: "ConsoleTests", dependencies: ["Console", "TerminalTesting", "console-fixture"]),
    .testTarget(name: "PinLabTests", dependencies: ["PinLab"]),
    .testTarget(
      name: "CommandLineTests", dependencies: ["pinlab", "TerminalTesting", "GoldenTesting"],
      exclude: ["Goldens"]),
  ]
)

let targetsInC = ["CLuaGate", "CReadlineSupport"]

for target in package.targets where target.type != .system && !targetsInC.contains(target.name) {
  target.swiftSettings = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .strictMemorySafety(),
  ]
}
