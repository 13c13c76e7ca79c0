#pragma once

namespace wb {

/// Whether large buffers ask the kernel for huge pages: WB_HUGE_PAGES in the environment is "on" (and the default) or
/// "off". Throws Error for another word.
bool huge_pages_wanted();

/// Bytes of this process that lie in huge pages now; 0 where the kernel does not tell.
double huge_page_bytes();

}  // namespace wb
