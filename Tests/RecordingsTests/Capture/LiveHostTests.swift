import Glibc
import MemoryModel
import Recordings
import Testing

/// Captures the computer that runs the tests, as root or not.
@Suite struct LiveHostTests {
  /// Frames up to the end of memory; a debug build takes about a microsecond for each.
  private static var pages: Int { Int(sysconf(Int32(_SC_PHYS_PAGES))) }

  @Test(.enabled(if: pages <= 8 << 20)) func thisHost() throws {
    let directory = Directory()
    let path = directory.path + "/capture"
    let written = try HostCapture.write(to: path)
    #expect(!written.missing.contains { $0.name == "zoneinfo" || $0.name == "buddyinfo" })
    let (image, report) = try HostImage.load(path)
    #expect(report.hasPageFlags == !written.missing.contains { $0.name == "kpageflags.gz" })
    let machine = try Machine.restore(image)
    #expect(machine.check() == nil)
    #expect(throws: RecordingError.self) { try HostCapture.write(to: path) }
  }
}
