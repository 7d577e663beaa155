//! Named regions for profiling: `vm stats` reports steps and cells by region.

/// A region that is open until the value is dropped. `region!` is the usual way to make one.
pub struct Region {
    name: &'static str,
}

impl Region {
    /// Opens a region. The name is 1 to 64 bytes; a longer one is cut.
    #[inline]
    pub fn enter(name: &'static str) -> Self {
        let name = cut(name);
        mark(true, name);
        Region { name }
    }
}

impl Drop for Region {
    #[inline]
    fn drop(&mut self) {
        mark(false, self.name);
    }
}

fn cut(name: &'static str) -> &'static str {
    let mut end = name.len().min(64);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    if end == 0 {
        "unnamed"
    } else {
        &name[..end]
    }
}

#[inline]
fn mark(begin: bool, name: &'static str) {
    #[cfg(all(target_os = "none", not(feature = "qemu")))]
    {
        use crate::syscall::{ecall, number};
        let number = if begin { number::REGION_BEGIN } else { number::REGION_END };
        unsafe { ecall(number, name.as_ptr() as usize, name.len(), 0) }
    }
    #[cfg(any(not(target_os = "none"), feature = "qemu"))]
    let _ = (begin, name);
}

/// `region!("name", { .. })` is the block's value, with its steps counted under that name. Leaving the block early
/// (`return`, `?`) closes the region too.
#[macro_export]
macro_rules! region {
    ($name:expr, $body:expr) => {{
        let __region = $crate::Region::enter($name);
        let __value = $body;
        ::core::mem::drop(__region);
        __value
    }};
}
