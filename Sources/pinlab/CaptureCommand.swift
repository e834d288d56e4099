import ArgumentParser
import MemoryModel
import Recordings

/// The subcommand `pinlab capture DIR`.
struct CaptureCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capture",
    abstract: "Record this host's memory, for machine{ from = \"DIR\" }.",
    discussion: """
      Reads /proc/zoneinfo, buddyinfo, pagetypeinfo, kpageflags and kpagecount. The page files need \
      root; without them the machine is rebuilt from counts alone, and pinlab says so. Prints what \
      was read, and how the rebuilt free lists compare with the host's buddyinfo.
      """)

  @Argument(help: "Folder to write into; it is created.", completion: .directory)
  var directory: String

  func run() throws {
    do {
      print(try HostCapture.write(to: directory).text, terminator: "")
      print(try HostImage.load(directory).1.text, terminator: "")
    } catch {
      complain("pinlab capture: \(error.message)")
      throw ExitCode(1)
    }
  }
}
