//! VP8 by libvpx: a thin safe wrapper, the only `unsafe` code in this crate.
//!
//! Safety rests on three rules that hold for every call below: a context is boxed (libvpx keeps pointers into it),
//! initialised before its owner exists and destroyed once, in `Drop`; a decoded image is copied out before the next
//! decode invalidates it; control arguments are passed as `c_int`, as the variadic C function expects.
#![expect(unsafe_code, reason = "FFI to libvpx")]

use std::ffi::{CStr, c_int, c_long, c_uint, c_ulong};
use std::mem::MaybeUninit;
use std::ptr;

use bytes::{Bytes, BytesMut};
use reframe_proto::{i420_len, picture_fits};
use tracing::debug;
use vpx_sys as vpx;

use super::{CodecError, Decoder, Encoded, Encoder, Picture};

/// A VP8 decoder.
pub struct Vp8Decoder {
    context: Context,
}

/// A VP8 encoder at constant bitrate, tuned for live video.
pub struct Vp8Encoder {
    bitrate_kbps: u32,
    frame_ticks: u64,
    /// None until the first picture tells the size, and while a change of size rebuilds it.
    active: Option<Active>,
}

/// The libvpx encoder for one size; libvpx refuses to grow beyond its initial one.
struct Active {
    context: Context,
    /// With the size, and the bitrate that was last set.
    config: vpx::vpx_codec_enc_cfg_t,
}

// SAFETY: as the context's; the config's pointers are those of two-pass encoding, all null.
unsafe impl Send for Active {}

impl Vp8Decoder {
    /// A decoder that awaits its first keyframe.
    ///
    /// # Errors
    /// libvpx could not allocate it.
    pub fn new() -> Result<Self, CodecError> {
        let mut context = Context::zeroed();
        let config = vpx::vpx_codec_dec_cfg_t { threads: 1, w: 0, h: 0 };
        // SAFETY: the context is zeroed and boxed, the interface is libvpx's own static, the config outlives the call.
        let code = unsafe {
            vpx::vpx_codec_dec_init_ver(
                context.as_mut(),
                vpx::vpx_codec_vp8_dx(),
                &raw const config,
                0,
                vpx::VPX_DECODER_ABI_VERSION as c_int,
            )
        };
        context.check("create the VP8 decoder", code)?;
        Ok(Self { context })
    }
}

impl Decoder for Vp8Decoder {
    fn decode(&mut self, unit: &[u8]) -> Result<Option<Picture>, CodecError> {
        if let Some((width, height)) = keyframe_size(unit) {
            check_size(width, height)?;
        }
        let length = c_uint::try_from(unit.len()).unwrap_or(0);
        // SAFETY: the pointer and length describe `unit`, which outlives the call.
        let code = unsafe {
            vpx::vpx_codec_decode(self.context.as_mut(), unit.as_ptr(), length, ptr::null_mut(), c_long::from(0))
        };
        self.context.check("decode a VP8 frame", code)?;
        let mut iter = ptr::null();
        // SAFETY: the context is live; the image is read before the next call on it.
        let image = unsafe { vpx::vpx_codec_get_frame(self.context.as_mut(), &raw mut iter).as_ref() };
        Ok(image.map(copy_out))
    }
}

impl Vp8Encoder {
    /// An encoder that aims at `bitrate_kbps` (kbit/s) at about `fps` frames a second.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a frame rate within 1..=240")]
    pub fn new(bitrate_kbps: u32, fps: f64) -> Self {
        Self { bitrate_kbps, frame_ticks: (90_000.0 / fps) as u64, active: None }
    }

    fn activate(&self, width: u32, height: u32) -> Result<Active, CodecError> {
        check_size(width, height)?;
        let mut context = Context::zeroed();
        // SAFETY: the interface is libvpx's own static.
        let interface = unsafe { vpx::vpx_codec_vp8_cx() };
        // Not `Default`: the crate's zeroes an enum without a zero value, which is undefined behaviour.
        let mut config = MaybeUninit::uninit();
        // SAFETY: the call fills the whole config when it succeeds, which is checked before it is assumed.
        let mut config: vpx::vpx_codec_enc_cfg_t = unsafe {
            let code = vpx::vpx_codec_enc_config_default(interface, config.as_mut_ptr(), 0);
            context.check("ask for the VP8 encoder's defaults", code)?;
            config.assume_init()
        };
        config.g_w = width;
        config.g_h = height;
        config.g_threads = 1;
        config.g_lag_in_frames = 0;
        config.g_timebase.num = 1;
        config.g_timebase.den = 90_000;
        config.rc_end_usage = vpx::vpx_rc_mode::VPX_CBR;
        config.rc_target_bitrate = self.bitrate_kbps;
        config.rc_min_quantizer = 2;
        config.rc_max_quantizer = 56;
        config.rc_undershoot_pct = 100;
        config.rc_overshoot_pct = 15;
        config.rc_buf_initial_sz = 500;
        config.rc_buf_optimal_sz = 600;
        config.rc_buf_sz = 1_000;
        config.kf_max_dist = 3_000;
        // SAFETY: the context is zeroed and boxed, the config is complete and outlives the call (libvpx copies it).
        let code = unsafe {
            vpx::vpx_codec_enc_init_ver(
                context.as_mut(),
                interface,
                &raw const config,
                0,
                vpx::VPX_ENCODER_ABI_VERSION as c_int,
            )
        };
        context.check("create the VP8 encoder", code)?;
        // -8 is the knee of the speed/quality curve (5.7 ms and 37.8 dB at 720p; -16 loses 3 dB). Negative: fixed.
        context.control(vpx::vp8e_enc_control_id::VP8E_SET_CPUUSED as c_int, -8)?;
        context.control(vpx::vp8e_enc_control_id::VP8E_SET_STATIC_THRESHOLD as c_int, 1)?;
        // Percent of the per-frame budget: keeps the first keyframe near 8 kB, so that it arrives in one round trip.
        context.control(vpx::vp8e_enc_control_id::VP8E_SET_MAX_INTRA_BITRATE_PCT as c_int, 300)?;
        Ok(Active { context, config })
    }
}

impl Encoder for Vp8Encoder {
    fn encode(&mut self, picture: &Picture, pts: u64, force_keyframe: bool) -> Result<Option<Encoded>, CodecError> {
        if self.active.as_ref().is_none_or(|a| (a.config.g_w, a.config.g_h) != (picture.width, picture.height)) {
            self.active = Some(self.activate(picture.width, picture.height)?);
        }
        let Some(active) = &mut self.active else { return Ok(None) };
        let image = wrap(picture)?;
        let flags = if force_keyframe { c_long::from(vpx::VPX_EFLAG_FORCE_KF) } else { 0 };
        // SAFETY: the image's planes point into `picture.data`, whose length `wrap` checked; libvpx only reads them.
        let code = unsafe {
            vpx::vpx_codec_encode(
                active.context.as_mut(),
                &raw const image,
                i64::try_from(pts).unwrap_or(i64::MAX),
                self.frame_ticks as c_ulong,
                flags,
                vpx::VPX_DL_REALTIME as c_ulong,
            )
        };
        active.context.check("encode a VP8 frame", code)?;
        Ok(active.context.take_encoded())
    }

    fn set_bitrate(&mut self, kbps: u32) {
        self.bitrate_kbps = kbps;
        let Some(active) = self.active.as_mut().filter(|active| active.config.rc_target_bitrate != kbps) else {
            return;
        };
        active.config.rc_target_bitrate = kbps;
        // SAFETY: the context is live and the config complete; libvpx copies it.
        let code = unsafe { vpx::vpx_codec_enc_config_set(active.context.as_mut(), &raw const active.config) };
        if let Err(error) = active.context.check("set the bitrate", code) {
            debug!(%error, kbps, "bitrate not changed");
        }
    }
}

/// An initialised (or all-zero, which `vpx_codec_destroy` refuses harmlessly) libvpx context.
struct Context(Box<vpx::vpx_codec_ctx_t>);

// SAFETY: libvpx contexts have no thread affinity; `&mut self` everywhere makes use exclusive.
unsafe impl Send for Context {}

impl Context {
    fn zeroed() -> Self {
        // SAFETY: all-zero is the documented initial state: null pointers, and VPX_CODEC_OK is zero.
        Self(Box::new(unsafe { MaybeUninit::zeroed().assume_init() }))
    }

    fn as_mut(&mut self) -> *mut vpx::vpx_codec_ctx_t {
        &raw mut *self.0
    }

    fn control(&mut self, id: c_int, value: c_int) -> Result<(), CodecError> {
        // SAFETY: every control used here takes one `int`.
        let code = unsafe { vpx::vpx_codec_control_(self.as_mut(), id, value) };
        self.check("set a VP8 control", code)
    }

    fn check(&mut self, operation: &'static str, code: vpx::vpx_codec_err_t) -> Result<(), CodecError> {
        if code == vpx::vpx_codec_err_t::VPX_CODEC_OK {
            return Ok(());
        }
        // SAFETY: returns a static string for every code.
        let text = unsafe { CStr::from_ptr(vpx::vpx_codec_err_to_string(code)) };
        Err(CodecError::Library { operation, detail: text.to_string_lossy().into_owned() })
    }

    /// One access unit for each picture: VP8 without lag makes at most one packet.
    fn take_encoded(&mut self) -> Option<Encoded> {
        let mut iter = ptr::null();
        loop {
            // SAFETY: the context is live and no call on it intervenes while the packet is read.
            let packet = unsafe { vpx::vpx_codec_get_cx_data(self.as_mut(), &raw mut iter).as_ref() }?;
            if packet.kind != vpx::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: the kind says which member of the union is set; its buffer lives until the next encode.
            let (data, flags) = unsafe {
                let frame = packet.data.frame;
                let size = usize::try_from(frame.sz).unwrap_or(0);
                (std::slice::from_raw_parts(frame.buf.cast::<u8>(), size), frame.flags)
            };
            return Some(Encoded { data: Bytes::copy_from_slice(data), keyframe: flags & vpx::VPX_FRAME_IS_KEY != 0 });
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: called once; an all-zero context is refused without effect.
        unsafe { vpx::vpx_codec_destroy(self.as_mut()) };
    }
}

/// The size that a keyframe claims (RFC 6386, section 9.1); `None` for other frames.
fn keyframe_size(unit: &[u8]) -> Option<(u32, u32)> {
    let [tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *unit else { return None };
    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    (tag & 1 == 0).then(|| (side(w0, w1), side(h0, h1)))
}

fn check_size(width: u32, height: u32) -> Result<(), CodecError> {
    if picture_fits(width, height) { Ok(()) } else { Err(CodecError::Size { width, height }) }
}

/// Copies the decoder's padded planes into one packed buffer.
fn copy_out(image: &vpx::vpx_image_t) -> Picture {
    let (width, height) = (image.d_w, image.d_h);
    let mut data = BytesMut::with_capacity(i420_len(width, height));
    for (plane, (columns, rows)) in plane_sizes(width, height).into_iter().enumerate() {
        let stride = usize::try_from(image.stride[plane]).unwrap_or(0);
        for row in 0..rows {
            // SAFETY: libvpx's plane holds `rows` lines of `stride` bytes, of which the first `columns` are the picture.
            let line = unsafe { std::slice::from_raw_parts(image.planes[plane].add(row * stride), columns) };
            data.extend_from_slice(line);
        }
    }
    Picture { width, height, data: data.freeze() }
}

/// An image whose planes point into the picture. libvpx's own wrap would round odd strides up.
fn wrap(picture: &Picture) -> Result<vpx::vpx_image_t, CodecError> {
    let (width, height) = (picture.width, picture.height);
    if picture.data.len() != i420_len(width, height) {
        return Err(CodecError::Library {
            operation: "encode a VP8 frame",
            detail: format!("{} bytes are no I420 picture of {width}x{height}", picture.data.len()),
        });
    }
    let mut image = MaybeUninit::<vpx::vpx_image_t>::zeroed();
    let base = picture.data.as_ptr().cast_mut();
    // SAFETY: fills the whole image from its arguments without touching `base`, which is non-null.
    let mut image = unsafe {
        vpx::vpx_img_wrap(image.as_mut_ptr(), vpx::vpx_img_fmt::VPX_IMG_FMT_I420, width, height, 1, base);
        image.assume_init()
    };
    let mut offset = 0;
    for (plane, (columns, rows)) in plane_sizes(width, height).into_iter().enumerate() {
        // SAFETY: the planes' sizes add up to the length checked above.
        image.planes[plane] = unsafe { base.add(offset) };
        image.stride[plane] = c_int::try_from(columns).unwrap_or(0);
        offset += columns * rows;
    }
    Ok(image)
}

/// Columns and rows of the Y, U and V planes.
fn plane_sizes(width: u32, height: u32) -> [(usize, usize); 3] {
    let chroma = ((width as usize).div_ceil(2), (height as usize).div_ceil(2));
    [(width as usize, height as usize), chroma, chroma]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32, luma: u8) -> Picture {
        let mut data = vec![luma; i420_len(width, height)];
        data[(width * height) as usize..].fill(128);
        Picture { width, height, data: data.into() }
    }

    #[test]
    fn odd_and_changing_sizes_survive_a_round_trip() {
        let mut encoder = Vp8Encoder::new(1_000, 30.0);
        let mut decoder = Vp8Decoder::new().unwrap();
        for (step, (width, height)) in [(16, 16), (33, 17), (640, 480), (1, 1), (1280, 720)].into_iter().enumerate() {
            let unit = encoder.encode(&grey(width, height, 90), step as u64 * 3_000, false).unwrap().unwrap();
            assert!(unit.keyframe, "a change of size starts with a keyframe");
            let picture = decoder.decode(&unit.data).unwrap().unwrap();
            assert_eq!((picture.width, picture.height), (width, height));
            assert_eq!(picture.data.len(), i420_len(width, height));
            assert!(picture.data[0].abs_diff(90) < 6, "luma {}", picture.data[0]);
        }
    }

    #[test]
    fn keyframes_come_when_forced_and_not_otherwise() {
        let mut encoder = Vp8Encoder::new(1_000, 30.0);
        let keys: Vec<bool> = (0..4_u8)
            .map(|n| encoder.encode(&grey(320, 240, 60 + n), u64::from(n) * 3_000, n == 2).unwrap().unwrap().keyframe)
            .collect();
        assert_eq!(keys, [true, false, true, false]);
    }

    /// Moving noise: whatever the bitrate is, it is used up.
    fn busy(width: u32, height: u32, number: u64) -> Picture {
        use rand::{RngExt, SeedableRng};
        let mut random = rand::rngs::SmallRng::seed_from_u64(number);
        let mut picture = grey(width, height, 128).data.to_vec();
        picture.iter_mut().step_by(3).for_each(|value| *value = random.random_range(60..200));
        Picture { width, height, data: picture.into() }
    }

    #[test]
    fn a_bitrate_is_followed_without_a_keyframe() {
        let mut encoder = Vp8Encoder::new(2_000, 30.0);
        let mut frame = 0;
        let mut second = |encoder: &mut Vp8Encoder| {
            let mut bytes = 0;
            for _ in 0..30 {
                let unit = encoder.encode(&busy(320, 240, frame), frame * 3_000, false).unwrap();
                assert!(frame == 0 || unit.as_ref().is_none_or(|unit| !unit.keyframe));
                bytes += unit.map_or(0, |unit| unit.data.len());
                frame += 1;
            }
            bytes
        };
        second(&mut encoder);
        let before = second(&mut encoder);
        encoder.set_bitrate(700);
        second(&mut encoder);
        let after = second(&mut encoder);
        assert!(after * 2 < before, "{before} bytes a second, then {after}");
        encoder.set_bitrate(2_000);
        second(&mut encoder);
        let again = second(&mut encoder);
        assert!(after * 2 < again, "{after} bytes a second, then {again}");
    }

    #[test]
    fn a_huge_claim_is_refused_before_anything_is_allocated() {
        let unit = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f, 0, 0, 0, 0];
        let refused = Vp8Decoder::new().unwrap().decode(&unit);
        assert!(matches!(refused, Err(CodecError::Size { width: 16_383, height: 16_383 })));
    }

    #[test]
    fn damage_is_an_error_and_the_decoder_lives_on() {
        let mut decoder = Vp8Decoder::new().unwrap();
        assert!(decoder.decode(&[0x10, 0, 0, 1, 2, 3, 4, 5]).is_err());
        let unit = Vp8Encoder::new(500, 30.0).encode(&grey(64, 64, 120), 0, false).unwrap().unwrap();
        assert!(decoder.decode(&unit.data).unwrap().is_some());
    }

    #[test]
    fn a_picture_of_the_wrong_length_is_refused() {
        let picture = Picture { width: 64, height: 64, data: Bytes::from_static(&[0; 100]) };
        assert!(Vp8Encoder::new(500, 30.0).encode(&picture, 0, false).is_err());
    }
}
