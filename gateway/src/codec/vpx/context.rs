//! libvpx's context: a thin safe wrapper.
//!
//! Safety rests on three rules that hold for every call in this folder: a context is boxed (libvpx
//! keeps pointers into it), initialised before its owner exists and destroyed once, in `Drop`; a
//! decoded image is copied out before the next decode invalidates it; control arguments are passed
//! as `c_int`, as the variadic C function expects.

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::ptr;

use bytes::Bytes;
use vpx_sys as vpx;

use super::{CodecError, Encoded};

/// An initialised (or all-zero, which `vpx_codec_destroy` refuses harmlessly) libvpx context.
pub(super) struct Context(Box<vpx::vpx_codec_ctx_t>);

// SAFETY: libvpx contexts have no thread affinity; `&mut self` everywhere makes use exclusive.
unsafe impl Send for Context {}

impl Context {
    pub(super) fn zeroed() -> Self {
        // SAFETY: all-zero is the documented initial state: null pointers, and VPX_CODEC_OK is
        // zero.
        Self(Box::new(unsafe { MaybeUninit::zeroed().assume_init() }))
    }

    pub(super) fn as_mut(&mut self) -> *mut vpx::vpx_codec_ctx_t {
        &raw mut *self.0
    }

    pub(super) fn control(
        &mut self,
        id: vpx::vp8e_enc_control_id,
        value: c_int,
    ) -> Result<(), CodecError> {
        // SAFETY: every control used here takes one `int`.
        let code = unsafe { vpx::vpx_codec_control_(self.as_mut(), id as c_int, value) };
        self.check("set a control of libvpx", code)
    }

    /// The quantizer of the last encoded picture, 0 (best) to 63; `None` if libvpx reports none.
    pub(super) fn last_quantizer(&mut self) -> Option<c_int> {
        let mut quantizer: c_int = 0;
        let id = vpx::vp8e_enc_control_id::VP8E_GET_LAST_QUANTIZER_64;
        // SAFETY: this control takes a pointer to an `int`, which it fills.
        let code =
            unsafe { vpx::vpx_codec_control_(self.as_mut(), id as c_int, &raw mut quantizer) };
        self.check("ask for the last quantizer", code).ok().map(|()| quantizer)
    }

    pub(super) fn check(
        &mut self,
        operation: &'static str,
        code: vpx::vpx_codec_err_t,
    ) -> Result<(), CodecError> {
        if code == vpx::vpx_codec_err_t::VPX_CODEC_OK {
            return Ok(());
        }
        // SAFETY: returns a static string for every code.
        let text = unsafe { CStr::from_ptr(vpx::vpx_codec_err_to_string(code)) };
        Err(CodecError::Library { operation, detail: text.to_string_lossy().into_owned() })
    }

    /// One access unit for each picture: without lag and hidden frames libvpx makes at most one
    /// packet.
    pub(super) fn take_encoded(&mut self) -> Option<Encoded> {
        let mut iter = ptr::null();
        loop {
            // SAFETY: the context is live and no call on it intervenes while the packet is read.
            let packet =
                unsafe { vpx::vpx_codec_get_cx_data(self.as_mut(), &raw mut iter).as_ref() }?;
            if packet.kind != vpx::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: the kind says which member of the union is set; its buffer lives until the
            // next encode.
            let (data, flags) = unsafe {
                let frame = packet.data.frame;
                let size = usize::try_from(frame.sz).unwrap_or(0);
                (std::slice::from_raw_parts(frame.buf.cast::<u8>(), size), frame.flags)
            };
            return Some(Encoded {
                data: Bytes::copy_from_slice(data),
                keyframe: flags & vpx::VPX_FRAME_IS_KEY != 0,
                droppable: flags & vpx::VPX_FRAME_IS_DROPPABLE != 0,
            });
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: called once; an all-zero context is refused without effect.
        unsafe { vpx::vpx_codec_destroy(self.as_mut()) };
    }
}
