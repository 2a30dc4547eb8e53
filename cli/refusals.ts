/**
 * Errors as a Bengali reader is told of them: a sentence for each code that an officer can meet.
 * A code that is not here is shown with its English detail alone.
 */

const BENGALI: Readonly<Record<string, string>> = {
  USAGE: "নির্দেশটি বোঝা যায়নি",
  NODE_UNREACHABLE: "এই হোমে কোনো নোড সাড়া দিচ্ছে না",
  NODE_RUNNING: "এই হোমে একটি নোড আগে থেকেই চলছে",
  NODE_ENDED: "নোডটি চালু হতে পারেনি",
  NODE_BUSY: "নোড ব্যস্ত; একটু পরে আবার চেষ্টা করুন",
  TIMED_OUT: "নির্ধারিত সময় পার হয়েছে",
  INTERRUPTED: "থামানো হয়েছে",
  FILE_DIRECTORY: "ফাইলের বদলে একটি ফোল্ডার দেওয়া হয়েছে",
  FILE_UNREADABLE: "ফাইলটি পড়া যায়নি",
  FILE_UNWRITABLE: "ফাইলটি লেখা যায়নি",
  FILE_TOO_LARGE: "ফাইলটি অতি বড়",
  TEXT_NOT_UTF8: "পাঠ্যটি শুদ্ধ UTF-8 নয়; কিছুই পাঠানো হয়নি",
  TEXT_MISSING: "কোনো পাঠ্য দেওয়া হয়নি",
  PASSPHRASE_MISSING: "গুপ্তবাক্য দেওয়া হয়নি",
  PASSPHRASE_UNEQUAL: "দুই গুপ্তবাক্য এক নয়",
  KEYSTORE_PASSPHRASE: "গুপ্তবাক্য ভুল",
  KEYSTORE_MISSING: "চাবির ফাইল নেই",
  KEYSTORE_DAMAGED: "চাবির ফাইল নষ্ট",
  NOT_CONFIRMED: "নিশ্চিত করা হয়নি; কিছুই বদলায়নি",
  VERIFICATION_FAILED: "যাচাই ব্যর্থ হয়েছে",
  HOME_MISSING: "নোডের হোম ফোল্ডার নেই",
  HOME_EXISTS: "হোম ফোল্ডারে আগে থেকেই একটি নোড আছে",
  HOME_PERMISSIONS: "হোম ফোল্ডার অন্যদের জন্য খোলা",
  GENESIS_MISSING: "এই হোম এখনও কোনো নেটওয়ার্কের অংশ নয়",
  GENESIS_EXISTS: "এই হোম আগে থেকেই একটি নেটওয়ার্কের অংশ",
  GENESIS_INVALID: "নেটওয়ার্কের ফাইলটি নিয়মমতো নয়",
  INVITATION_MISSING: "এই হোম কোনো নেটওয়ার্ক প্রতিষ্ঠায় অংশ নিচ্ছে না",
  INVITATION_INVALID: "আমন্ত্রণটি নিয়মমতো নয়",
  FOUNDING_INVALID: "প্রতিষ্ঠা-নথি বা নেটওয়ার্কের ফাইল আমন্ত্রণের সাথে মেলে না",
  STORE_LOCKED: "ভাণ্ডারটি অন্য প্রসেস ব্যবহার করছে",
  STORE_DAMAGED: "ভাণ্ডার নষ্ট হয়েছে",
  STORE_GAP: "এই ব্লকগুলি এখানে রাখা হয়নি",
  STORE_FULL: "ডিস্কে জায়গা নেই",
  PORT_IN_USE: "পোর্টটি অন্য প্রোগ্রাম ব্যবহার করছে",
  MISSION_UNKNOWN: "এমন কোনো মিশন নেই",
  MISSION_REVOKED: "মিশনটি বাতিল করা হয়েছে",
  NOT_ADMITTED: "এই মিশন এখনও অন্তর্ভুক্ত হয়নি",
  NO_EPOCH_KEY: "প্রাপক মিশনের চাবি এখনও লেজারে নেই",
  CABLE_UNKNOWN: "এমন কোনো তারবার্তা নেই",
  CABLE_REFUSED: "তারবার্তাটি প্রত্যাখ্যাত হয়েছে",
  CABLE_INVALID: "তারবার্তাটি নিয়মমতো নয়",
  CABLE_TOO_LARGE: "তারবার্তার পাঠ্য এই অগ্রাধিকারের সীমার চেয়ে বড়",
  SIGNAL_UNKNOWN: "এমন কোনো সংকেত নেই",
  SIGNAL_INVALID: "সংকেতটি নিয়মমতো নয়",
  OUTBOX_FULL: "প্রাপকের জন্য অপেক্ষমাণ তারবার্তা অতি বেশি",
  RELEASE_REQUIRED: "দ্বিতীয় কর্মকর্তার অনুমোদন লাগবে",
  OFFICER_UNKNOWN: "এমন কোনো কর্মকর্তা নেই",
  PROOF_PENDING: "ভুক্তিটি এখনও কোনো স্বাক্ষরিত চেকপয়েন্টের আওতায় আসেনি",
  CHECKPOINT_PENDING:
    "যথেষ্ট স্বাক্ষরসহ নতুন চেকপয়েন্ট এই নোডে এখনও নেই, কিছুই বদলায়নি; কোনো যাচাইকারীর সাথে সংযোগ হলে আবার চেষ্টা করুন",
  PUBLICATION_OTHER: "ফোল্ডারটিতে অন্য লেজারের প্রকাশনা আছে",
  GOVERNANCE_KEY_MISSING: "এই হোমে পরিচালনার চাবি নেই",
  API_REQUEST: "অনুরোধটি নিয়মমতো নয়",
  VALIDATOR_KEY_DEAD: "এই যাচাইকারীর চাবি অন্য এক চালনায় ব্যবহৃত হয়েছে বা লগটি পুরোনো",
  CONSENSUS_KEY_DEAD: "এই যাচাইকারীর চাবি অন্য কোথাও ভোট দিয়েছে",
  WAL_DAMAGED: "কনসেনসাস লগ নষ্ট",
  CLOCK_SKEW: "যন্ত্রের ঘড়ি ঠিক নেই",
}

/** The Bengali sentence for a code, where there is one. */
export function refusalInBengali(code: string): string | undefined {
  return BENGALI[code]
}
