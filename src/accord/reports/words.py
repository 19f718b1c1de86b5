"""Every sentence of the page in English and Simplified Chinese, in one table, and the way numbers are written."""

from __future__ import annotations

import math
from typing import Literal

from accord.reports.study_words import STUDY_WORDS
from accord.reports.text_words import ALONE, INSTEAD

Language = Literal["en", "zh", "en text", "zh text"]  # of runs of text some words are others
LANGUAGES: tuple[Language, ...] = ("en", "zh")
OF_TEXT: dict[Language, Language] = {"en": "en text", "zh": "zh text"}

WORDS: dict[str, tuple[str, str]] = {
    **STUDY_WORDS,
    **ALONE,
    # the result
    "report": ("Run report", "运行报告"),
    "comparisons": ("{n} comparisons", "{n} 次比较"),
    "labels": ("{n} labels", "{n} 个标注"),
    "some_labels": ("an unrecorded number of labels", "数量未记录的标注"),
    "steps": ("{n} steps", "{n} 个环境步"),
    "after": ("After {labels} and {steps} ", "经过 {labels}和 {steps}，"),
    "after_labels": ("After {labels} ", "经过 {labels}，"),
    "reaches": ("the policy reaches {mean}", "策略达到 {mean}"),
    "reaches_of": ("the policy reaches {mean} of {best}", "策略达到 {mean}（满分 {best}）"),
    "interval": (" (95% interval {low} to {high})", "，95% 区间 {low} 至 {high}"),
    "no_interval": (" (interval not measured)", "（区间未测量）"),
    "share": (
        ": {share} of the way from a random policy to what the same algorithm reaches on the true reward.",
        "：在随机策略与同一算法使用真实奖励的水平之间，达到了 {share}。",
    ),
    "beside_true": (
        "; the same algorithm reaches {true} on the true reward.",
        "；同一算法用真实奖励达到 {true}。",
    ),
    "above_true": (
        "; the same algorithm on the true reward reaches {true}, which is less.",
        "；同一算法用真实奖励达到 {true}，低于该策略。",
    ),
    "true_fails": (
        "; on the true reward the same algorithm reaches {true}, no better than a random policy ({random}).",
        "；同一算法用真实奖励只达到 {true}，并不优于随机策略（{random}）。",
    ),
    "stop": (".", "。"),
    "unmeasured": (
        "The true return of the policy was not measured, so nothing can be said about how well it does.",
        "策略的真实回报未测量，因此无法判断它的好坏。",
    ),
    "one_run": (
        "One run, seed {seed}. The interval covers the {episodes} evaluation episodes of this policy, "
        "not the luck of training: other seeds may end elsewhere.",
        "单次运行，种子 {seed}。区间只反映该策略 {episodes} 个评估回合的波动，"
        "不含训练本身的运气：换一个种子，结果可能不同。",
    ),
    "one_run_plain": (
        "One run, seed {seed}. Other seeds may end elsewhere.",
        "单次运行，种子 {seed}。换一个种子，结果可能不同。",
    ),
    # verdicts: each a head and a reason
    "random_good": ("Better than random", "优于随机策略"),
    "random_good_why": ("A random policy reaches {other}.", "随机策略达到 {other}。"),
    "random_close": ("Not clearly better than random", "未明显优于随机策略"),
    "random_close_why": (
        "The interval takes in a random policy ({other}).",
        "区间包含随机策略的水平（{other}）。",
    ),
    "random_bad": ("Worse than random", "不如随机策略"),
    "random_bad_why": ("A random policy reaches {other}.", "随机策略达到 {other}。"),
    "random_none": ("Random policy not measured", "随机策略未测量"),
    "constant_good": ("Better than a constant reward", "优于恒定奖励"),
    "constant_good_why": (
        "With every reward the same, training reaches {other}: the comparisons taught the rest.",
        "奖励恒定时训练只达到 {other}：其余来自反馈。",
    ),
    "constant_close": ("Not clearly better than a constant reward", "未明显优于恒定奖励"),
    "constant_close_why": (
        "The intervals overlap: a constant reward reaches {other}.",
        "区间重叠：恒定奖励达到 {other}。",
    ),
    "constant_bad": ("A constant reward does as well", "恒定奖励同样好"),
    "constant_bad_leak": (
        "It reaches {other}: termination leaks the reward; comparisons taught nothing here.",
        "它达到 {other}：回合终止泄露了奖励；此处的比较没有教会任何东西。",
    ),
    "constant_bad_plain": (
        "It reaches {other}: comparisons taught nothing here.",
        "它达到 {other}：此处的比较没有教会任何东西。",
    ),
    "constant_bad_unknown": (
        "It reaches {other}: nothing here shows that comparisons taught anything. "
        "Where episodes can end early, termination leaks the reward.",
        "它达到 {other}：没有证据表明比较起了作用。若回合可提前结束，终止会泄露奖励。",
    ),
    "constant_none": ("Constant-reward control not measured", "恒定奖励对照未测量"),
    "true_good": ("Level with the true reward", "与真实奖励持平"),
    "true_good_why": (
        "The same algorithm on the true reward reaches {other}.",
        "同一算法用真实奖励达到 {other}。",
    ),
    "true_above": ("Above the true reward's run", "高于真实奖励的那次运行"),
    "true_above_why": (
        "The same algorithm on the true reward reaches {other} here, so that run is no ceiling.",
        "同一算法用真实奖励在此只达到 {other}，因此它不是上限。",
    ),
    "true_close": ("Below the true reward", "低于真实奖励"),
    "true_close_why": (
        "The same algorithm on the true reward reaches {other}.",
        "同一算法用真实奖励达到 {other}。",
    ),
    "true_none": ("True-reward training not measured", "真实奖励训练未测量"),
    "accuracy_good": ("The reward predicts unseen answers", "奖励模型能预测未见过的回答"),
    "accuracy_good_why": (
        "{accuracy} right on held-out answers, interval {low} to {high}.",
        "在留出的回答上正确率 {accuracy}，区间 {low} 至 {high}。",
    ),
    "accuracy_bad": ("The reward is not clearly better than a coin", "奖励模型未明显优于抛硬币"),
    "accuracy_none": ("Held-out accuracy not measured", "留出正确率未测量"),
    "unmeasured_why": ("Without it this result has no such yardstick.", "缺少它，结果便少一把尺子。"),
    "mark_good": ("Good:", "良好："),
    "mark_caution": ("Caution:", "注意："),
    "mark_bad": ("Warning:", "警告："),
    "mark_note": ("Note:", "说明："),
    "mark_none": ("Not measured:", "未测量："),
    # figures of the run
    "stat_labels": ("Labels", "标注"),
    "stat_steps": ("Environment steps", "环境步"),
    "to_learn": ("{n} to learn from", "其中 {n} 用于学习"),
    "stat_seconds": ("Wall time", "用时"),
    "stat_accuracy": ("Held-out accuracy", "留出正确率"),
    "stat_ece": ("Calibration error", "校准误差"),
    "stat_spearman": ("Rank correlation", "秩相关"),
    "none": ("not measured", "未测量"),
    "absent": ("Not measured in this run.", "本次运行未测量。"),
    # the clip
    "s_clip": ("What the policy does", "策略的表现"),
    "s_clip_lead": (
        "One episode of the final policy. It is the one that the run's seed gives, not the best one.",
        "最终策略的一个回合：由本次运行的种子决定，并非挑选的最佳回合。",
    ),
    "clip_alt": (
        "Moving picture of the learned policy on {task}: one episode of {steps} steps, true return {paid}.",
        "学到的策略在 {task} 上的动态画面：一个回合，{steps} 步，真实回报 {paid}。",
    ),
    "clip_policy": ("Policy", "策略"),
    "clip_final": ("the final one, after {round} rounds", "最终策略，经过 {round} 轮"),
    "clip_steps": ("Steps", "步数"),
    "clip_return": ("True return", "真实回报"),
    "clip_beside": ("{paid} (mean of {episodes} episodes: {mean})", "{paid}（{episodes} 个回合的平均值：{mean}）"),
    "clip_seed": ("Its seed", "回合种子"),
    "clip_seen": ("Shown", "显示"),
    "clip_each": ("every step", "每一步"),
    "clip_one_in": ("one step in {stride}", "每 {stride} 步一帧"),
    "clip_first": ("up to step {shown}, {pace}", "至第 {shown} 步，{pace}"),
    "clip_stop": ("Stop", "停止"),
    "clip_play": ("Play", "播放"),
    "no_clip_off": ("There is no clip of the policy: report.clip is false.", "没有策略的短片：report.clip 为 false。"),
    "no_clip_mode": (
        "There is no clip of the policy: the environment cannot be rendered as pictures.",
        "没有策略的短片：该环境无法渲染为图像。",
    ),
    "no_clip_failed": (
        "There is no clip of the policy: this machine could not render it ({detail}).",
        "没有策略的短片：本机无法渲染（{detail}）。",
    ),
    "no_clip_file": (
        "There is no clip of the policy: clip.webp is not in the run's folder, or cannot be read.",
        "没有策略的短片：运行文件夹中没有 clip.webp，或无法读取。",
    ),
    # sections
    "s_return": ("True return", "真实回报"),
    "s_return_lead": (
        "What the environment itself pays, which the policy never saw while learning.",
        "环境自身给出的回报，策略在学习中从未见过。",
    ),
    "baselines": ("Against the controls", "与对照组比较"),
    "baselines_sub": (
        "Mean true return per episode, with 95% interval where measured",
        "每回合平均真实回报；有测量时附 95% 区间",
    ),
    "curve": ("Learning curve", "学习曲线"),
    "curve_sub": (
        "Mean true return of the policy after each round, with 95% band",
        "每轮之后策略的平均真实回报，带 95% 区间",
    ),
    "by_labels": ("by label", "按标注"),
    "by_steps": ("by step", "按环境步"),
    "s_reward": ("Reward model", "奖励模型"),
    "s_reward_lead": (
        "Measured on uniformly chosen queries alone; actively chosen ones would flatter or slander it.",
        "只在均匀抽取的问题上测量；主动挑选的问题会造成偏差。",
    ),
    "accuracy": ("Accuracy on held-out answers", "留出回答上的正确率"),
    "accuracy_sub": ("Share predicted right after each round, with 95% band", "每轮之后预测正确的比例，带 95% 区间"),
    "agreement_none": ("Annotators' agreement was not measured.", "标注者之间的一致率未测量。"),
    "reliability": ("Calibration", "校准"),
    "reliability_sub": (
        "How often the first segment won, by predicted probability, with 95% intervals. "
        "On the dashed line is perfect; larger dots hold more answers.",
        "按预测概率分组，第一段获胜的频率，带 95% 区间。落在虚线上为完美；点越大，回答越多。",
    ),
    "scatter": ("Reward against truth", "奖励与真实值"),
    "scatter_sub": (
        "Each dot is a segment: predicted against true sum of rewards",
        "每个点是一个片段：预测奖励和与真实奖励和",
    ),
    "likelihood": ("Fit", "拟合"),
    "likelihood_sub": (
        "Log-likelihood per answer after each round (0 is perfect, −0.69 is a coin)",
        "每轮之后每个回答的对数似然（0 为完美，−0.69 相当于抛硬币）",
    ),
    "s_answers": ("Questions and answers", "提问与回答"),
    "s_answers_lead": (
        "What people or teachers were asked, why, and how reliably they answered.",
        "问了什么、为何而问、回答有多可靠。",
    ),
    "asked": ("Questions by rule", "按规则统计的提问"),
    "asked_sub": ("Questions asked in each round, by the rule that chose them", "每轮提问数，按选择规则区分"),
    "annotators": ("Annotators", "标注者"),
    "annotators_sub": (
        "Skill: the share of answers given with care, with its interval",
        "技能：认真作答的比例，附区间",
    ),
    "examples": ("Answered examples", "已回答的例子"),
    "examples_sub": (
        "Predicted reward at each step of both segments. p is the model's probability that the first is preferred.",
        "两个片段每一步的预测奖励。p 为模型认为第一段更受偏好的概率。",
    ),
    "tally": ("Tally", "合计"),
    "asked_total": ("Asked", "已提问"),
    "answered": ("Answered", "已回答"),
    "ties": ("of which ties", "其中平局"),
    "skipped": ("of which skips", "其中跳过"),
    "annotator": ("Annotator", "标注者"),
    "answers": ("Answers", "回答数"),
    "skill": ("Skill", "技能"),
    "range": ("Interval", "区间"),
    "side": ("Side bias", "偏侧"),
    "s_policy": ("Policy training", "策略训练"),
    "s_policy_lead": ("What each improvement did to the policy, round by round.", "每一轮改进对策略做了什么。"),
    "entropy": ("Entropy (nats)", "熵（nat）"),
    "kl": ("KL per update (nats)", "每次更新的 KL（nat）"),
    "clip_share": ("Clipped share", "裁剪比例"),
    "value_loss": ("Value loss", "价值损失"),
    "surrogate": ("Surrogate objective", "代理目标"),
    "critic_loss": ("Critic loss", "评论家损失"),
    "actor_loss": ("Actor loss", "行动者损失"),
    "temperature": ("Temperature", "温度"),
    "explained_variance": ("Explained variance", "解释方差"),
    "s_cost": ("Where time and steps went", "时间与环境步的去向"),
    "s_cost_lead": ("Every environment step counts, evaluation too.", "每个环境步都计入，包括评估。"),
    "seconds": ("Seconds by stage", "各阶段用时（秒）"),
    "env_steps": ("Environment steps by purpose", "各用途的环境步"),
    "other": ("other", "其他"),
    "collect": ("collect segments", "收集片段"),
    "ask": ("ask", "提问"),
    "wait": ("wait for answers", "等待回答"),
    "fit": ("fit the reward", "拟合奖励"),
    "select": ("select", "选择"),
    "improve": ("improve the policy", "改进策略"),
    "judge": ("judge (evaluation)", "评估"),
    "drive": ("driven by people", "由人操作"),
    "record": ("record", "记录"),
    "s_rounds": ("Round by round", "逐轮数据"),
    "round": ("Round", "轮"),
    "train_return": ("True return", "真实回报"),
    "train_ll": ("Fit", "训练似然"),
    "heldout_ll": ("Held-out fit", "留出似然"),
    "ece": ("ECE", "ECE"),
    "s_repeat": ("Repeat this run", "重复本次运行"),
    "s_repeat_lead": (
        "Save the configuration as run.toml; with the same versions and machine the run repeats bit for bit.",
        "将配置存为 run.toml；版本与机器相同时，运行可逐位重现。",
    ),
    "uncommitted": ("and changes that were not committed", "以及未提交的改动"),
    "configuration": ("Resolved configuration", "完整配置"),
    "chosen": ("Chosen by selection", "自动选择的结果"),
    "versions": ("Versions and machine", "版本与机器"),
    "lineage": ("Lineage", "来源链"),
    "lineage_sub": (
        "Hashes from answers to reward to policy; “accord verify” checks them.",
        "从回答到奖励再到策略的哈希；用 accord verify 校验。",
    ),
    "made_answers": ("answers", "回答"),
    "made_reward": ("reward", "奖励模型"),
    "made_policy": ("policy", "策略"),
    "copy": ("Copy", "复制"),
    "copied": ("Copied", "已复制"),
    "theme": ("Light or dark", "明暗切换"),
    "noscript": (
        "The charts need JavaScript; every number is also in the tables below.",
        "图表需要 JavaScript；数字也都列在下方表格中。",
    ),
    "made": (
        "Made by accord from the run's records alone; “accord report” makes it again.",
        "由 accord 仅根据运行记录生成；用 accord report 可重新生成。",
    ),
    # plots
    "policy": ("learned policy", "学到的策略"),
    "random": ("random policy", "随机策略"),
    "constant": ("constant reward", "恒定奖励"),
    "true": ("true reward", "真实奖励"),
    "best": ("best possible", "理论上限"),
    "span": ("{low} to {high}", "{low} 至 {high}"),
    "x_return": ("true return per episode", "每回合真实回报"),
    "x_labels": ("labels", "标注数"),
    "x_steps": ("environment steps", "环境步"),
    "x_round": ("round", "轮"),
    "x_p": ("predicted probability", "预测概率"),
    "y_observed": ("observed share", "实际比例"),
    "x_truth": ("true reward, summed over the segment", "片段的真实奖励和"),
    "y_reward_short": ("predicted reward", "预测奖励和"),
    "truth_alike": ("all of equal truth", "真实值全部相同"),
    "y_accuracy": ("predicted right", "预测正确率"),
    "y_ll": ("nats per answer", "nat / 回答"),
    "y_asked": ("questions", "提问数"),
    "agreement": ("annotators agree {p}", "标注者一致率 {p}"),
    "coin": ("coin 50%", "抛硬币 50%"),
    "train": ("training", "训练"),
    "heldout": ("held out", "留出"),
    "alt_from_to": ("{title}: from {first} to {last}.", "{title}：从 {first} 到 {last}。"),
    "alt_scatter": ("{title}: {n} segments, Spearman correlation {rho}.", "{title}：{n} 个片段，斯皮尔曼相关 {rho}。"),
    "alt_reliability": (
        "{title}: {n} groups, expected calibration error {ece}.",
        "{title}：{n} 组，期望校准误差 {ece}。",
    ),
    # answers in words
    "kind_compare": ("compare", "比较"),
    "kind_rank": ("rank", "排序"),
    "kind_rate": ("rate", "评分"),
    "kind_approve": ("approve", "认可"),
    "kind_demonstrate": ("demonstrate", "示范"),
    "kind_correct": ("correct", "修正"),
    "first": ("first", "第一段"),
    "second": ("second", "第二段"),
    "tie": ("a tie", "平局"),
    "skip": ("can't tell", "无法判断"),
    "of_levels": ("level {level} of {levels}", "{levels} 级中的第 {level} 级"),
    "someone": ("An annotator", "标注者"),
    "agrees": ("model agrees", "模型一致"),
    "disagrees": ("model disagrees", "模型不一致"),
    "from": ("from {x}", "起始 {x}"),
    "sum_of": ("sum {x}", "和 {x}"),
}


def say(key: str, lang: Language, **values: object) -> str:
    """One sentence of the table in one language, its places filled."""
    table = INSTEAD if lang.endswith("text") and key in INSTEAD else WORDS
    return table[key][0 if lang.startswith("en") else 1].format(**values)


def number(value: float, digits: int | None = None) -> str:
    """A number as people write it: thousands apart, a true minus, few decimals unless told how many."""
    if digits is None:
        digits = _digits(value)
    text = f"{value:,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def _digits(value: float) -> int:
    """Whole numbers have no decimals, large ones none, small ones as many as show two figures, six at most."""
    size = abs(value)
    if value == int(value) or size >= 100:
        return 0
    return 1 if size >= 10 else 2 if size >= 0.1 else min(6, 1 - math.floor(math.log10(size)))


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage."""
    return f"{number(100 * share, digits)}%"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 100:
        return f"{number(seconds, 1)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
