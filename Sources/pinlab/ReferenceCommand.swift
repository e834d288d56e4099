import ArgumentParser
import Console
import LuaBridge
import MemoryLua

/// `pinlab reference --markdown | --meta`: what docs/lua-api.md and docs/pinlab.lua hold.
struct ReferenceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reference",
    abstract: "Print the reference of the Lua API, as Markdown or for Lua editors.",
    shouldDisplay: false)

  @Flag(help: "Definitions for editors with the Lua language server.")
  var meta = false

  func run() throws {
    let library = MemoryLibrary.library(MemoryContext())
    print(
      meta ? LuaReferenceText.meta(library) : LuaReferenceText.markdown(library), terminator: "")
  }
}
