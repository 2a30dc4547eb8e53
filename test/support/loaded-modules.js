// Given to Node with --import: writes the URL of every module that is loaded to LOADED_MODULES.
import { writeFileSync } from "node:fs"
import { registerHooks } from "node:module"

const loaded = []
registerHooks({
  load(url, context, nextLoad) {
    loaded.push(url)
    return nextLoad(url, context)
  },
})
process.on("exit", () => writeFileSync(String(process.env.LOADED_MODULES), loaded.join("\n")))
