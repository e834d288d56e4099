import MemoryModel
import Recordings
import Testing

/// Captures the computer that runs the tests, as root or not.
@Suite struct LiveHostTests {
  @Test func thisHost() throws {
    let directory = Directory()
    let clock = ContinuousClock()
    let start = clock.now
    let written = try HostCapture.write(to: directory.path + "/capture")
    let captured = clock.now
    print(written.text)
    let (image, report) = try HostImage.load(directory.path + "/capture")
    let loaded = clock.now
    print(report.text)
    let machine = try Machine.restore(image)
    print("capture \(captured - start), load \(loaded - captured), restore \(clock.now - loaded)")
    #expect(machine.check() == nil)
    #expect(throws: RecordingError.self) {
      try HostCapture.write(to: directory.path + "/capture")
    }
  }
}
