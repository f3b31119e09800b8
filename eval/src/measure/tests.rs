//! Measures as text, and each of them once more as its definition reads.

use proptest::prelude::*;

use super::*;

#[test]
fn a_measure_prints_as_it_was_written() {
    for written in [
        "AP",
        "AP@100",
        "AP(rel=2)@100",
        "nDCG",
        "nDCG@10",
        "RR",
        "RR(rel=3)@10",
        "R@100",
        "P(rel=2)@10",
        "Rprec",
        "Rprec(rel=2)",
        "Success@5",
        "Success(rel=4)@5",
        "Judged",
        "Judged@10",
    ] {
        assert_eq!(written.parse::<Measure>().unwrap().to_string(), written);
    }
    for (written, printed) in
        [("recall@5", "R@5"), ("MAP", "AP"), ("ndcg@3", "nDCG@3"), ("MRR(rel=1)", "RR")]
    {
        assert_eq!(written.parse::<Measure>().unwrap().to_string(), printed);
    }
}

#[test]
fn what_names_no_measure_is_refused_with_what_would_do() {
    for (written, message) in [
        (
            "F1",
            "`F1` is no measure: try AP, AP@100, nDCG@10, RR, RR@10, R@100, P@10, Rprec, Success@5, \
             Judged@10, or AP(rel=2) for grades from 2 on",
        ),
        ("AP@0", "`AP@0` needs a number of ranks after the `@`, 1 or more"),
        ("AP@+1", "`AP@+1` needs a number of ranks after the `@`, 1 or more"),
        ("AP@10(rel=2)", "`AP@10(rel=2)` needs a number of ranks after the `@`, 1 or more"),
        ("R", "`R` needs a number of ranks, as in `R@10`"),
        ("Success(rel=2)", "`Success(rel=2)` needs a number of ranks, as in `Success(rel=2)@10`"),
        (
            "AP(rel=0)",
            "`AP(rel=0)` needs a grade of 1 or more in its parentheses, as in `AP(rel=2)@10`",
        ),
        (
            "P(level=2)@5",
            "`P(level=2)@5` needs a grade of 1 or more in its parentheses, as in `AP(rel=2)@10`",
        ),
        ("nDCG(rel=2)", "`nDCG(rel=2)` has no least grade: leave the parentheses out"),
        (
            "Rprec@5",
            "`Rprec@5` looks at as many ranks as there are relevant passages: leave the `@` out",
        ),
    ] {
        assert_eq!(written.parse::<Measure>().unwrap_err().to_string(), message);
    }
}

#[test]
fn in_json_a_measure_is_its_name() {
    let measure: Measure = "AP(rel=2)@10".parse().unwrap();
    assert_eq!(serde_json::to_string(&measure).unwrap(), "\"AP(rel=2)@10\"");
    assert_eq!(serde_json::from_str::<Measure>("\"AP(rel=2)@10\"").unwrap(), measure);
}

proptest! {
    #[test]
    fn any_text_is_a_measure_or_refused(
        written in prop_oneof![
            "\\PC{0,12}",
            "(AP|RR|nDCG|R|P|Rprec|Success|Judged)(\\(rel=[0-9]{0,2}\\))?(@[0-9]{0,3})?",
        ],
    ) {
        if let Ok(measure) = written.parse::<Measure>() {
            prop_assert_eq!(measure.to_string().parse::<Measure>().unwrap(), measure);
        }
    }

    /// Each measure once more as its definition reads, over the whole list of grades. `None` is a
    /// passage that nobody judged.
    #[test]
    fn every_measure_equals_its_definition(
        ranking in proptest::collection::vec(proptest::option::of(0_u32..4), 0..30),
        missed in proptest::collection::vec(0_u32..4, 0..6),
        k in 1_usize..35,
        level in 1_u32..4,
    ) {
        let judged = (1_usize..).zip(&ranking).filter_map(|(rank, &grade)| Some((rank, grade?)));
        let standing = Standing::new(judged, missed.iter().copied(), ranking.len());
        let grades: Vec<u32> = ranking.iter().map(|grade| grade.unwrap_or(0)).collect();
        let relevant = grades.iter().chain(&missed).filter(|g| **g >= level).count();
        let mut ideal: Vec<u32> = grades.iter().chain(&missed).copied().collect();
        ideal.sort_by(|a, b| b.cmp(a));
        let upto = |list: &[u32], k: usize| list[..k.min(list.len())].to_vec();
        let hits = |k: usize| upto(&grades, k).iter().filter(|g| **g >= level).count();
        let dcg = |list: &[u32], k: usize| -> f64 {
            upto(list, k).iter().zip(2_usize..).map(|(&g, i)| f64::from(g) / real(i).log2()).sum()
        };
        let over = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let ap = |k: usize| {
            let precisions = (1..=k.min(grades.len())).filter(|&i| grades[i - 1] >= level);
            over(precisions.map(|i| real(hits(i)) / real(i)).sum(), real(relevant))
        };
        let rr = |k: usize| {
            let first = upto(&grades, k).iter().position(|g| *g >= level);
            first.map_or(0.0, |i| 1.0 / real(i + 1))
        };
        let shown = |k: usize| k.min(ranking.len());
        let known = |k: usize| ranking[..shown(k)].iter().flatten().count();
        let rel = format!("(rel={level})");
        for (written, value) in [
            (format!("AP{rel}"), ap(usize::MAX)),
            (format!("AP{rel}@{k}"), ap(k)),
            ("nDCG".to_owned(), over(dcg(&grades, 99), dcg(&ideal, 99))),
            (format!("nDCG@{k}"), over(dcg(&grades, k), dcg(&ideal, k))),
            (format!("RR{rel}"), rr(usize::MAX)),
            (format!("RR{rel}@{k}"), rr(k)),
            (format!("R{rel}@{k}"), over(real(hits(k)), real(relevant))),
            (format!("P{rel}@{k}"), real(hits(k)) / real(k)),
            (format!("Rprec{rel}"), over(real(hits(relevant)), real(relevant))),
            (format!("Success{rel}@{k}"), real(hits(k)).min(1.0)),
            ("Judged".to_owned(), over(real(known(99)), real(shown(99)))),
            (format!("Judged@{k}"), over(real(known(k)), real(shown(k)))),
        ] {
            let ours = written.parse::<Measure>().unwrap().of(&standing);
            prop_assert!((ours - value).abs() < 1e-12, "{}: {} is not {}", written, ours, value);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&ours));
        }
    }
}
