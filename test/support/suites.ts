/** The suite that tests of formats run on: the native one, as nodes do. */

import { nativeSuite } from "../../node/suite.ts"
import { portableSuite } from "../../protocol/portable.ts"
import type { Suite } from "../../protocol/suite.ts"

export const suite: Suite = nativeSuite
/** Both, for what must hold on either. */
export const suites: readonly Suite[] = [nativeSuite, portableSuite]
