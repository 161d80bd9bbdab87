//! VP8 and VP9 by libvpx.
#![expect(unsafe_code, reason = "FFI to libvpx")]

mod context;
mod header;
#[cfg(libvpx_archive)]
mod memory;
mod repeat;

use std::ffi::{c_int, c_long, c_uint, c_ulong};
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;
use vpx_sys as vpx;
use vpx_sys::vp8e_enc_control_id as control;

use self::context::Context;
use super::picture::{Plane, check_size, plane_sizes};
use super::speed::Speed;
use super::{Codec, CodecError, Decoder, Encoded, Encoder, Picture};

/// VP9's `cpu-used`: 7 costs a third more for less than 0.1 dB, 9 loses 0.25 dB.
const VP9_CPU_USED: c_int = 8;

/// VP8: with these a frame changes nothing that a later one refers to, its probabilities included:
/// a second temporal layer (RFC 7741, section 4.2, `TID`).
const DROPPABLE: c_long = (vpx::VP8_EFLAG_NO_UPD_LAST
    | vpx::VP8_EFLAG_NO_UPD_GF
    | vpx::VP8_EFLAG_NO_UPD_ARF
    | vpx::VP8_EFLAG_NO_UPD_ENTROPY) as c_long;

/// A picture that stays is encoded again at this interval (250 ms at 90 kHz), which makes it
/// better, until it is good.
const REFINE_TICKS: u64 = 22_500;
/// Of 63: below it nobody sees a difference.
const GOOD_QUANTIZER: c_int = 12;

/// A VP8 or VP9 decoder.
pub struct VpxDecoder {
    context: Context,
    codec: Codec,
    /// VP9: the unit with an index added, if it had none.
    indexed: Vec<u8>,
}

/// A VP8 or VP9 encoder at constant bitrate, tuned for live video.
pub struct VpxEncoder {
    codec: Codec,
    bitrate_kbps: u32,
    /// 90 kHz.
    frame_ticks: u32,
    speed: Speed,
    /// VP8: every second frame is droppable.
    layered: bool,
    /// `None` until the first picture gives the size, and while a change of size rebuilds it.
    active: Option<Active>,
}

/// The libvpx encoder for one size; libvpx refuses to grow beyond its initial size.
struct Active {
    context: Context,
    /// Holds the size, and the bitrate that was last set.
    config: vpx::vpx_codec_enc_cfg_t,
    /// VP8: the frame that shows the last picture again.
    repeat: Option<Bytes>,
    /// When a picture was last encoded, 90 kHz.
    encoded: u64,
    /// The last frame was droppable: the decoder's last picture is the one before it.
    droppable: bool,
}

// SAFETY: the context is `Send`; the config's pointers are for two-pass encoding, and all null.
unsafe impl Send for Active {}

impl VpxDecoder {
    /// A decoder that waits for its first keyframe: of VP9 if `codec` is that, else of VP8.
    ///
    /// # Errors
    /// libvpx could not allocate it.
    pub fn new(codec: Codec) -> Result<Self, CodecError> {
        let mut context = Context::zeroed();
        let config = vpx::vpx_codec_dec_cfg_t { threads: 1, w: 0, h: 0 };
        // SAFETY: the context is zeroed and boxed, the interface is libvpx's own static, the config
        // outlives the call.
        let code = unsafe {
            let interface =
                if codec == Codec::Vp9 { vpx::vpx_codec_vp9_dx() } else { vpx::vpx_codec_vp8_dx() };
            let version = vpx::VPX_DECODER_ABI_VERSION as c_int;
            vpx::vpx_codec_dec_init_ver(context.as_mut(), interface, &raw const config, 0, version)
        };
        context.check("create a decoder of libvpx", code)?;
        Ok(Self { context, codec, indexed: Vec::new() })
    }
}

impl Decoder for VpxDecoder {
    fn decode(&mut self, unit: &[u8]) -> Result<Option<Picture>, CodecError> {
        let index = if self.codec == Codec::Vp9 {
            header::check_vp9(unit)?
        } else {
            header::check_vp8(unit)?;
            None
        };
        let unit = match index {
            Some(index) => {
                self.indexed.clear();
                self.indexed.extend_from_slice(unit);
                self.indexed.extend_from_slice(&index);
                &self.indexed
            }
            None => unit,
        };
        let length = c_uint::try_from(unit.len()).unwrap_or(0);
        // SAFETY: the pointer and length describe `unit`, which outlives the call.
        let code = unsafe {
            vpx::vpx_codec_decode(
                self.context.as_mut(),
                unit.as_ptr(),
                length,
                ptr::null_mut(),
                c_long::from(0),
            )
        };
        self.context.check("decode a frame", code)?;
        let mut iter = ptr::null();
        // SAFETY: the context is live; the image is read before the next call on it.
        let image =
            unsafe { vpx::vpx_codec_get_frame(self.context.as_mut(), &raw mut iter).as_ref() };
        image.map(copy_out).transpose()
    }
}

impl VpxEncoder {
    /// An encoder that aims at `bitrate_kbps` (kbit/s) at about `fps` frames a second: of VP9 if
    /// `codec` is that, else of VP8.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a frame rate within 1..=240"
    )]
    pub fn new(codec: Codec, bitrate_kbps: u32, fps: f64) -> Self {
        Self {
            codec,
            bitrate_kbps,
            frame_ticks: (90_000.0 / fps) as u32,
            speed: Speed::default(),
            layered: false,
            active: None,
        }
    }

    fn activate(&self, width: u32, height: u32) -> Result<Active, CodecError> {
        let vp9 = self.codec == Codec::Vp9;
        let mut context = Context::zeroed();
        // SAFETY: the interfaces are libvpx's own statics.
        let interface =
            unsafe { if vp9 { vpx::vpx_codec_vp9_cx() } else { vpx::vpx_codec_vp8_cx() } };
        // Not `Default`: the crate's implementation zeroes an enum that has no zero value, which is
        // undefined behaviour.
        let mut config = MaybeUninit::uninit();
        // SAFETY: the call fills the whole config when it succeeds, which is checked before it is
        // assumed.
        let mut config: vpx::vpx_codec_enc_cfg_t = unsafe {
            let code = vpx::vpx_codec_enc_config_default(interface, config.as_mut_ptr(), 0);
            context.check("ask for libvpx' defaults", code)?;
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
        config.rc_undershoot_pct = if vp9 { 50 } else { 100 };
        config.rc_overshoot_pct = if vp9 { 50 } else { 15 };
        config.rc_buf_initial_sz = 500;
        config.rc_buf_optimal_sz = 600;
        config.rc_buf_sz = 1_000;
        config.kf_max_dist = 3_000;
        let version = vpx::VPX_ENCODER_ABI_VERSION as c_int;
        // SAFETY: the context is zeroed and boxed, the config is complete and outlives the call
        // (libvpx copies it).
        let code = unsafe {
            vpx::vpx_codec_enc_init_ver(context.as_mut(), interface, &raw const config, 0, version)
        };
        context.check("create an encoder of libvpx", code)?;
        let speed = if vp9 { VP9_CPU_USED } else { self.speed.cpu_used() };
        context.control(control::VP8E_SET_CPUUSED, speed)?;
        context.control(control::VP8E_SET_STATIC_THRESHOLD, 1)?;
        // Percent of the per-frame budget: keeps the first keyframe near 8 kB, so that it arrives
        // in one round trip.
        context.control(control::VP8E_SET_MAX_INTRA_BITRATE_PCT, 300)?;
        if vp9 {
            // Cyclic refresh, as browsers do: without it, still areas stay as bad as they began.
            context.control(control::VP9E_SET_AQ_MODE, 3)?;
        }
        let repeat = (!vp9).then(|| repeat::frame(width, height).into());
        Ok(Active { context, config, repeat, encoded: 0, droppable: false })
    }
}

impl Encoder for VpxEncoder {
    fn encode(
        &mut self,
        picture: &Picture,
        pts: u64,
        force_keyframe: bool,
    ) -> Result<Option<Encoded>, CodecError> {
        picture.check()?;
        if self
            .active
            .as_ref()
            .is_none_or(|a| (a.config.g_w, a.config.g_h) != (picture.width, picture.height))
        {
            self.active = Some(self.activate(picture.width, picture.height)?);
        }
        let Some(active) = &mut self.active else { return Ok(None) };
        let image = wrap(picture);
        // Never two in a row: what comes next refers to the one before them.
        let flags = match (force_keyframe, self.layered && !active.droppable) {
            (true, _) => c_long::from(vpx::VPX_EFLAG_FORCE_KF),
            (false, true) if active.encoded > 0 => DROPPABLE,
            (false, _) => 0,
        };
        let started = Instant::now();
        // SAFETY: the image's planes point into `picture.data`, whose length was checked; libvpx
        // only reads them.
        let code = unsafe {
            vpx::vpx_codec_encode(
                active.context.as_mut(),
                &raw const image,
                i64::try_from(pts).unwrap_or(i64::MAX),
                c_ulong::from(self.frame_ticks),
                flags,
                vpx::VPX_DL_REALTIME as c_ulong,
            )
        };
        active.context.check("encode a frame", code)?;
        active.encoded = pts;
        let interval = Duration::from_secs_f64(f64::from(self.frame_ticks) / 90_000.0);
        if self.codec == Codec::Vp8 && self.speed.observe(started.elapsed(), interval) {
            active.context.control(control::VP8E_SET_CPUUSED, self.speed.cpu_used())?;
        }
        let mut encoded = active.context.take_encoded();
        if let Some(unit) = &mut encoded {
            // A frame of VP9 also refers to the last one's motion and segments, whatever libvpx
            // says.
            unit.droppable &= self.codec == Codec::Vp8;
            active.droppable = unit.droppable;
        }
        Ok(encoded)
    }

    fn repeat(&mut self, pts: u64) -> Option<Encoded> {
        let Active { context, repeat, encoded, droppable, .. } = self.active.as_mut()?;
        if *droppable {
            // It would show the picture before.
            return None;
        }
        let due = pts.saturating_sub(*encoded) >= REFINE_TICKS;
        let refine =
            due && context.last_quantizer().is_some_and(|quantizer| quantizer > GOOD_QUANTIZER);
        repeat.clone().filter(|_| !refine).map(|data| Encoded {
            data,
            keyframe: false,
            droppable: true,
        })
    }

    fn set_fastest(&mut self, set_fastest: bool) {
        if self.codec != Codec::Vp8 || !self.speed.set_fastest(set_fastest) {
            return;
        }
        // An encoder that is built later reads the speed itself.
        let speed = self.speed.cpu_used();
        if let Some(Err(error)) = self
            .active
            .as_mut()
            .map(|active| active.context.control(control::VP8E_SET_CPUUSED, speed))
        {
            debug!(%error, speed, "speed not changed");
        }
    }

    fn set_temporal_layers(&mut self, layered: bool) {
        self.layered = layered && self.codec == Codec::Vp8;
    }

    fn set_bitrate(&mut self, kbps: u32) {
        self.bitrate_kbps = kbps;
        let Some(active) =
            self.active.as_mut().filter(|active| active.config.rc_target_bitrate != kbps)
        else {
            return;
        };
        active.config.rc_target_bitrate = kbps;
        // SAFETY: the context is live and the config complete; libvpx copies it.
        let code = unsafe {
            vpx::vpx_codec_enc_config_set(active.context.as_mut(), &raw const active.config)
        };
        if let Err(error) = active.context.check("set the bitrate", code) {
            debug!(%error, kbps, "bitrate not changed");
        }
    }
}

/// Copies the decoder's padded planes into one packed buffer.
fn copy_out(image: &vpx::vpx_image_t) -> Result<Picture, CodecError> {
    let (width, height) = (image.d_w, image.d_h);
    if image.fmt != vpx::vpx_img_fmt::VPX_IMG_FMT_I420 {
        return Err(CodecError::Unit("not a picture of 8 bits and 4:2:0"));
    }
    check_size(width, height)?;
    let sizes = plane_sizes(width, height);
    let planes = [0, 1, 2].map(|plane| {
        let (stride, (columns, rows)) =
            (usize::try_from(image.stride[plane]).unwrap_or(0), sizes[plane]);
        // SAFETY: libvpx's plane holds `rows` lines, `stride` bytes apart, of which the first
        // `columns` are the picture.
        let data = unsafe {
            std::slice::from_raw_parts(image.planes[plane], (rows - 1) * stride + columns)
        };
        Plane { data, stride }
    });
    Ok(Picture::pack(width, height, planes))
}

/// An image whose planes point into the picture, which was checked. libvpx's own wrap would round
/// odd strides up.
fn wrap(picture: &Picture) -> vpx::vpx_image_t {
    let (width, height) = (picture.width, picture.height);
    let mut image = MaybeUninit::<vpx::vpx_image_t>::zeroed();
    let base = picture.data.as_ptr().cast_mut();
    // SAFETY: fills the whole image from its arguments without touching `base`, which is non-null.
    let mut image = unsafe {
        vpx::vpx_img_wrap(
            image.as_mut_ptr(),
            vpx::vpx_img_fmt::VPX_IMG_FMT_I420,
            width,
            height,
            1,
            base,
        );
        image.assume_init()
    };
    let mut offset = 0;
    for (plane, (columns, rows)) in plane_sizes(width, height).into_iter().enumerate() {
        // SAFETY: the planes' sizes add up to the length that was checked.
        image.planes[plane] = unsafe { base.add(offset) };
        image.stride[plane] = c_int::try_from(columns).unwrap_or(0);
        offset += columns * rows;
    }
    image
}
