"""Every sentence of the annotation page in English and Simplified Chinese."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Which is better?", "哪一个更好？"),
    "compare": ("Which is better?", "哪一个更好？"),
    "rank": ("Order from best to worst", "从最好到最差排序"),
    "rate": ("How good is it?", "它有多好？"),
    "approve": ("Is this acceptable?", "这可以接受吗？"),
    "first": ("Left", "左"),
    "second": ("Right", "右"),
    "upper": ("Upper", "上"),
    "lower": ("Lower", "下"),
    "tie": ("Equal", "一样好"),
    "skip": ("Can't tell", "无法判断"),
    "undo": ("Undo", "撤销"),
    "note": ("Add a reason", "写下理由"),
    "note_hint": ("What decided it? (optional)", "什么决定了你的选择？（可不填）"),
    "far": ("far better", "好得多"),
    "better": ("better", "更好"),
    "slightly": ("slightly better", "略好"),
    "yes": ("Yes", "可以"),
    "no": ("No", "不可以"),
    "worst": ("Worst", "最差"),
    "best": ("Best", "最好"),
    "done_ranking": ("Confirm order", "确认排序"),
    "again": ("Start over", "重新排"),
    "play": ("Play", "播放"),
    "pause": ("Pause", "暂停"),
    "replay": ("Replay", "重播"),
    "back": ("One step back", "后退一步"),
    "forward": ("One step forward", "前进一步"),
    "speed": ("Speed", "速度"),
    "scrub": ("Position in the clips", "片段中的位置"),
    "prompt": ("Prompt", "提示"),
    "loading": ("Loading…", "载入中……"),
    "empty": ("Nothing to answer right now", "目前没有要回答的问题"),
    "empty_why": (
        "The run is learning from the answers so far. New questions appear here by themselves.",
        "系统正在从已有的回答中学习。新问题会自动出现在这里。",
    ),
    "over": ("That was all. Thank you!", "全部完成，谢谢！"),
    "over_why": ("The run has what it asked for; this page can be closed.", "系统已得到所需的回答，可以关闭此页面。"),
    "answered": ("answered", "已回答"),
    "pace": ("a minute", "每分钟"),
    "waiting": ("waiting", "待回答"),
    "unsent": ("unsent", "未发送"),
    "offline": (
        "No connection. Your answers are kept here and sent later.",
        "连接已断开。你的回答保存在本机，稍后发送。",
    ),
    "unseen": ("A question could not be shown and was passed over.", "有一个问题无法显示，已跳过。"),
    "refused": ("An answer was not taken: {why}", "有一个回答未被接受：{why}"),
    "ended": ("Your session has ended: open your invitation link again.", "会话已结束：请重新打开邀请链接。"),
    "watch": ("Watch both to the end once", "请先把两段都看完一遍"),
    "keys": ("Keys", "快捷键"),
    "keys_answer": ("left or right is better", "左边或右边更好"),
    "keys_strength": ("how much better, from left to right", "从左到右的偏好强度"),
    "keys_tie": ("equal", "一样好"),
    "keys_skip": ("can't tell", "无法判断"),
    "keys_play": ("play or pause", "播放或暂停"),
    "keys_step": ("one step back or forward", "后退或前进一步"),
    "keys_replay": ("replay", "重播"),
    "keys_undo": ("undo", "撤销"),
    "keys_note": ("write a reason", "写下理由"),
    "keys_help": ("show or hide this", "显示或隐藏此说明"),
    "close": ("Close", "关闭"),
    "dashboard": ("Dashboard", "仪表板"),
    "language": ("中文", "English"),
    "theme": ("Light or dark", "明暗主题"),
    "stored": ("Saved", "已保存"),
    "undone": ("Changed", "已更改"),
}


def language_of(accepted: str) -> Language:
    """The first of the browser's languages that the page speaks; English where it speaks none."""
    for part in accepted.split(","):
        code = part.split(";")[0].strip().lower()
        if code.startswith("zh"):
            return "zh"
        if code.startswith("en"):
            return "en"
    return "en"
