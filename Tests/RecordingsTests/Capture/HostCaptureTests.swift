import Recordings
import Testing

@Suite struct HostCaptureTests {
  /// A host that shows only what every user may read.
  @Test func saysWhatItCouldNotRead() throws {
    let root = Directory()
    root.makeDirectories("proc/sys/vm")
    root.makeDirectories("sys/devices/system/node/node0")
    for name in ["zoneinfo", "buddyinfo", "vmstat", "version"] {
      root.write(try HostImageTests.text(name), "proc/" + name)
    }
    root.write("0-1\n", "sys/devices/system/node/node0/cpulist")
    let report = try HostCapture.write(to: root.path + "/out", root: root.path)
    #expect(report.missing.contains { $0.name == "kpageflags.gz" })
    #expect(report.text.contains("read      zoneinfo  "))
    #expect(
      report.text.contains(
        "not read  pagetypeinfo  /proc/pagetypeinfo: No such file or directory; this kernel was "
          + "built without it; the types of pageblocks will be guessed\n"))
    let (_, loaded) = try HostImage.load(root.path + "/out")
    #expect(!loaded.hasPageFlags && loaded.residualBlocks == 0)
  }

  @Test func refusesToOverwriteAndToCaptureNothing() throws {
    let root = Directory()
    root.makeDirectories("proc")
    let path = root.path
    var error = #expect(throws: RecordingError.self) {
      try HostCapture.write(to: path + "/out", root: path)
    }
    #expect(error?.message.hasPrefix("/proc/zoneinfo: No such file or directory") == true)
    root.write("pinlab capture 1\n", "capture.txt")
    error = #expect(throws: RecordingError.self) { try HostCapture.write(to: path, root: path) }
    #expect(error?.message.hasSuffix("holds a capture already; name another directory") == true)
    error = #expect(throws: RecordingError.self) {
      try HostCapture.write(to: path + "/no/such", root: path)
    }
    #expect(error?.message.hasPrefix("cannot make ") == true)
  }
}
