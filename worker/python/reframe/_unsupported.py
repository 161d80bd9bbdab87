"""Names of FastRTC that are not here, and what to do instead."""

from __future__ import annotations

_AUDIO = "is about audio, and Reframe is for video: keep FastRTC for that program"
_HANDLER = (
    "is FastRTC's class for streams with audio. For video with state of its own for each session, "
    "derive from reframe.Handler: start_up(), process(image), shutdown()"
)

_NAMES = {
    "WebRTC": (
        "is a component for Gradio's Blocks, and Reframe's page is not Gradio's. Give the function "
        "to Stream(function, additional_inputs=[…], additional_outputs=[…]), which makes the page, "
        "and call stream.ui.launch(). A page of your own talks to the gateway: docs/http-api.md"
    ),
    "WebRTCData": "belongs to the WebRTC component, see reframe.WebRTC",
    "wait_for_item": "is for handlers with queues of audio: a function here is called with each "
    "frame",
    **dict.fromkeys(("StreamHandler", "AsyncStreamHandler"), _HANDLER),
    **dict.fromkeys(("AudioVideoStreamHandler", "AsyncAudioVideoStreamHandler"), _HANDLER),
    **dict.fromkeys(
        (
            "AlgoOptions",
            "AudioEmitType",
            "CartesiaTTSOptions",
            "KokoroTTSOptions",
            "ModelOptions",
            "MoonshineSTT",
            "PauseDetectionModel",
            "ReplyOnPause",
            "ReplyOnStopWords",
            "SileroVadOptions",
            "aggregate_bytes_to_16bit",
            "async_aggregate_bytes_to_16bit",
            "audio_to_bytes",
            "audio_to_file",
            "audio_to_float32",
            "audio_to_int16",
            "get_silero_model",
            "get_stt_model",
            "get_tts_model",
        ),
        _AUDIO,
    ),
}

STREAM = {
    "fastphone": "is about telephones: Reframe is for video",
    "telephone_handler": "is about telephones: Reframe is for video",
    "handle_incoming_call": "is about telephones: Reframe is for video",
    "websocket_offer": "is for audio over a WebSocket: Reframe is for video",
    **dict.fromkeys(
        ("offer", "handle_offer"),
        "is the gateway's: browsers POST /webrtc/offer there (docs/http-api.md)",
    ),
    **dict.fromkeys(
        ("connections", "data_channels", "handlers", "additional_outputs"),
        "is inside the gateway: what a function may know of its session is get_current_context()",
    ),
    "webrtc_component": "is a component of Gradio's Blocks, and Reframe's page is not Gradio's",
}
"""Attributes of FastRTC's Stream."""


def reason(name: str) -> str | None:
    """Why ``from reframe import name`` cannot be, if FastRTC has that name."""
    why = _NAMES.get(name)
    return None if why is None else f"{name} {why}"
